"""The revisions of the schema, and the functions that upgrade, downgrade and check a database.

Alembic is imported only to change or compare a schema. To check the revision takes one query and no
Alembic.
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

# Oldest first. The file of a released revision never changes.
REVISIONS = ("0001", "0002", "0003", "0004")
HEAD = REVISIONS[-1]
# Key of the PostgreSQL advisory lock that an upgrade holds, so that upgrades of one database take
# turns. Any number would do.
_ADVISORY_LOCK = 0x466F726E616461


def head() -> str:
    """The revision that this code needs."""
    return HEAD


def current(database: Database) -> str | None:
    """The revision of a database; None when it has no schema yet.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with database.read() as connection:
        return _current(connection)


def mismatch(found: str | None) -> SchemaMismatch:
    """The error for a database whose revision is `found`."""
    return SchemaMismatch(found, HEAD, newer=found is not None and found not in REVISIONS)


def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade a database in one transaction. Other upgrades wait until it has ended.

    Args:
        database: what to upgrade.
        revision: the revision to stop at; the newest by default.
    Raises:
        SchemaMismatch: a newer Fornada has upgraded the database.
        DatabaseUnreachable: the database does not answer.
    """
    from alembic import command

    with _locked(database) as connection:
        found = _current(connection)
        if found is not None and found not in REVISIONS:
            raise mismatch(found)
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Take a database back to an older revision. Data that later revisions added is lost."""
    from alembic import command

    with _locked(database) as connection:
        command.downgrade(_config(connection), revision)


def check(database: Database) -> list[str]:
    """The differences between the schema and what this code needs; empty when there are none."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from fornada.db.store.indexes import SCHEMA

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, SCHEMA)]


def prepare(database: Database, *, may_upgrade: bool) -> None:
    """Check that the schema has the revision that this code needs.

    Args:
        database: what to check.
        may_upgrade: upgrade an older or empty database; for the embedded database, which belongs to
            this user alone.
    Raises:
        SchemaMismatch: the revision is another one, and `may_upgrade` is false or the database was
            upgraded by a newer Fornada.
        DatabaseUnreachable: the database does not answer.
    """
    found = current(database)
    if found == HEAD:
        return
    if not may_upgrade:
        raise mismatch(found)
    upgrade(database)


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    """A transaction in which no other process can change the schema."""
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
