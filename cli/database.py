"""Commands about the database's schema: db upgrade, db current, db check."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.formatting import count
from fornada.cli.options import output_options, seconds
from fornada.cli.output import Output
from fornada.db.timestamps import iso

if TYPE_CHECKING:
    from fornada.db.migrations.plan import Plan
    from fornada.db.records import LockHolder
    from fornada.db.store.session import Database
    from fornada.db.store.table_locks import LockedOut


@click.group()
def db() -> None:
    """Upgrade and check the database's schema.

    A server's schema changes only by `fornada db upgrade`; the embedded database upgrades itself.

    \b
    Example:
      fornada db upgrade
    """


@db.command()
@click.option("--dry-run", is_flag=True, help="Only say what it would do.")
@click.option(
    "--wait",
    "wait_s",
    type=seconds,
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long to try to lock the tables that other sessions hold.",
)
@output_options()
def upgrade(output: Output, dry_run: bool, wait_s: float) -> None:
    """Upgrade the schema to the revision that this version of Fornada needs.

    First it says which revisions it runs, what waits for it and how long, whether the workers and
    clients that run now may go on, and who holds what it has to lock.

    All revisions run in one transaction. While it waits for a lock, others wait behind it: so it
    tries for 3 seconds, lets the others go first, and tries again. After --wait it ends with exit
    code 5, names who holds the locks, and has changed nothing.

    \b
    Example:
      FORNADA_DATABASE_URL=postgresql://ana@db/fornada fornada db upgrade --dry-run
    """
    from fornada.db import migrations
    from fornada.db.migrations.plan import plan

    database = _database()
    planned = plan(database)
    say = output.line if dry_run else output.note
    # Nobody uses an empty database yet.
    if not output.json and (dry_run or planned.before):
        for line in _lines(planned, database.dialect):
            say(line)
    if not dry_run and planned.to_run:
        migrations.upgrade(
            database, wait_s=wait_s, waits_for=lambda holders: _say_who(output, holders)
        )
    if output.json:
        output.document(_document(planned, database.dialect, dry_run))
    elif not planned.to_run:
        output.line(f"already at {planned.after}")
    elif not dry_run:
        output.line(f"upgraded from {planned.before or 'an empty database'} to {planned.after}")


def _lines(planned: "Plan", dialect: str) -> Iterator[str]:
    """What an upgrade will do, for a person."""
    if not planned.to_run:
        return
    yield f"The upgrade runs {len(planned.to_run)} of the revisions, in one transaction:"
    for each in planned.to_run:
        yield f"  {each.number}  {each.does}"
        if planned.before is not None:
            took_s = each.seconds_with(planned.jobs, dialect)
            yield f"        {_about(took_s)}; {_locked(each.locks, dialect)}"
    if planned.before is None:
        return
    yield (
        f"With {count(planned.jobs)} jobs it takes {_about(planned.seconds)}. "
        "What is locked stays locked until it has ended."
    )
    if planned.others_may_run:
        yield "The workers and clients that run now may go on."
    else:
        yield (
            "Stop these workers and clients before it: those for which `fornada db current` says "
            f"that they need a schema before {planned.works_since}."
        )
    if planned.holders:
        yield "These hold now what it has to lock:"
        yield from (f"  {holder.sentence}" for holder in planned.holders)


def _locked(locks: "Mapping[str, LockedOut]", dialect: str) -> str:
    """Which statements wait for which tables."""
    if dialect == "sqlite":
        return "locks the whole file"
    said = []
    for kind, who in (("ALL", "all statements wait"), ("WRITES", "writes wait")):
        tables = sorted(table for table, waits in locks.items() if waits.name == kind)
        if tables:
            said.append(f"{who} for {', '.join(tables)}")
    return "; ".join(said) or "nobody waits"


def _about(seconds: float) -> str:
    return "less than 1 s" if seconds < 1 else f"about {seconds:.0f} s"


def _say_who(output: Output, holders: "Sequence[LockHolder]") -> None:
    output.note("Waiting for a lock, which others have:" if holders else "Waiting for a lock.")
    for holder in holders:
        output.note(f"  {holder.sentence}")


def _waits(locks: "Mapping[str, LockedOut]") -> dict[str, str]:
    return {table: waits.name.lower() for table, waits in locks.items()}


def _document(planned: "Plan", dialect: str, dry_run: bool) -> dict[str, Any]:
    return {
        "before": planned.before,
        "after": planned.after,
        "dry_run": dry_run,
        "revisions": [
            {
                "revision": each.number,
                "does": each.does,
                "locks": _waits(each.locks),
                "seconds": round(each.seconds_with(planned.jobs, dialect), 1),
            }
            for each in planned.to_run
        ],
        "locks": _waits(planned.locks),
        "jobs": planned.jobs,
        "seconds": round(planned.seconds, 1),
        "works_since": planned.works_since,
        "others_may_run": planned.others_may_run,
        "holders": [
            {
                "pid": holder.pid,
                "login": holder.login,
                "application": holder.application,
                "since": iso(holder.since),
                "tables": holder.tables,
            }
            for holder in planned.holders
        ],
    }


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
