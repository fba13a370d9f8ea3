"""The schema's revisions, and how a database is brought to the newest.

Alembic is loaded only to change or compare a schema: to see that it is current costs one query.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text

from fornada.db.errors import SchemaMismatch
from fornada.db.store.session import Database

if TYPE_CHECKING:
    from alembic.config import Config

# Oldest first; their files never change once they are released.
REVISIONS = ("0001", "0002", "0003")
HEAD = REVISIONS[-1]
# Any number: who upgrades one database takes turns by it.
_ADVISORY_LOCK = 0x466F726E616461


def head() -> str:
    """The revision that this code needs."""
    return HEAD


def current(database: Database) -> str | None:
    """The revision that a database has; None when it has no schema yet.

    Raises:
        DatabaseUnreachable: it does not answer.
    """
    with database.read() as connection:
        return _current(connection)


def mismatch(found: str | None) -> SchemaMismatch:
    """What to say about a database that has revision `found`."""
    return SchemaMismatch(found, HEAD, newer=found is not None and found not in REVISIONS)


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring a database to the newest revision, in one transaction; others wait.

    Args:
        revision: an older one, to stop there.
    Raises:
        SchemaMismatch: a newer Fornada has upgraded it.
        DatabaseUnreachable: it does not answer.
    """
    from alembic import command

    with _exclusively(database) as connection:
        found = _current(connection)
        if found is not None and found not in REVISIONS:
            raise mismatch(found)
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Take a database back to an older revision; what later ones added is lost."""
    from alembic import command

    with _exclusively(database) as connection:
        command.downgrade(_config(connection), revision)


def check(database: Database) -> list[str]:
    """How the schema differs from what this code needs; empty when it does not."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from fornada.db.store.tables import Base

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def prepare(database: Database, *, may_upgrade: bool) -> None:
    """See that the schema is the one this code needs.

    Args:
        may_upgrade: bring it there; for the embedded database, which is this user's own.
    Raises:
        SchemaMismatch: it is another, and `may_upgrade` is false or cannot help.
        DatabaseUnreachable: it does not answer.
    """
    found = current(database)
    if found == HEAD:
        return
    if not may_upgrade:
        raise mismatch(found)
    upgrade(database)


@contextmanager
def _exclusively(database: Database) -> Iterator[Connection]:
    with database.begin(patient=True) as connection:
        if database.dialect == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        yield connection


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    attributes: dict[Any, Any] = config.attributes
    attributes["connection"] = connection
    return config
