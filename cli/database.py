"""Commands about the database's schema: db upgrade, db current, db check."""

from typing import TYPE_CHECKING

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.options import output_options
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.db.store.session import Database


@click.group()
def db() -> None:
    """Upgrade and check the database's schema.

    A server's schema changes only by `fornada db upgrade`; the embedded database upgrades itself.

    \b
    Example:
      fornada db upgrade
    """


@db.command()
@output_options()
def upgrade(output: Output) -> None:
    """Upgrade the schema to the revision that this version of Fornada needs.

    \b
    Example:
      FORNADA_DATABASE_URL=postgresql://ana@db/fornada fornada db upgrade
    """
    from fornada.db import migrations

    database = _database()
    before = migrations.current(database)
    migrations.upgrade(database)
    after = migrations.current(database)
    if output.json:
        output.document({"before": before, "after": after})
    elif before == after:
        output.line(f"already at {after}")
    else:
        output.line(f"upgraded from {before or 'an empty database'} to {after}")


@db.command()
@output_options()
def current(output: Output) -> None:
    """Print the schema's revision, and the revision that this version of Fornada needs.

    Ends with exit code 6 when this version does not work with the schema. It works with a later
    schema that only adds to the one it needs.

    \b
    Example:
      fornada db current
    """
    from fornada.db import migrations

    found, needed = migrations.schema(_database()), migrations.head()
    if output.json:
        output.document({"current": found.revision, "needed": needed, "fits": found.fits})
    else:
        output.line(f"{found.revision or 'empty'}  (this version needs {needed})")
    if not found.fits:
        raise ExitWith(ExitCode.UNREACHABLE, str(migrations.mismatch(found)))


@db.command()
@output_options()
def check(output: Output) -> None:
    """Compare the schema with the one that this version of Fornada needs, table by table.

    Ends with exit code 6 when they differ.

    \b
    Example:
      fornada db check
    """
    from fornada.db import migrations

    differences = [str(difference) for difference in migrations.check(_database())]
    if output.json:
        output.document({"differences": differences})
    elif not differences:
        output.line("the schema is as expected")
    for difference in differences if not output.json else ():
        output.line(difference)
    if differences:
        raise ExitWith(ExitCode.UNREACHABLE, "Upgrade it: fornada db upgrade")


def _database() -> "Database":
    from fornada.db.store.session import Database
    from fornada.settings import Settings

    settings = Settings()
    if settings.embedded:
        settings.make_home()
    return Database(settings.sql_url)
