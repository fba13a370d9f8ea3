"""The revisions of the schema, and the functions that upgrade, downgrade and check a database.

Alembic is imported only to change or compare a schema. To check the revision takes two queries and
no Alembic.

A schema may be newer than the code: a revision that only adds something leaves `works_since` of the
table `fleet` as it is, and the code of that revision and later ones still works. So a database can
be upgraded while workers and clients of the version before run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text

from fornada.db.errors import SchemaMismatch
from fornada.db.store.session import Database

if TYPE_CHECKING:
    from alembic.config import Config

# Oldest first. The file of a released revision never changes.
REVISIONS = ("0001", "0002", "0003", "0004", "0005")
HEAD = REVISIONS[-1]
# Key of the PostgreSQL advisory lock that an upgrade holds, so that upgrades of one database take
# turns. Any number would do.
_ADVISORY_LOCK = 0x466F726E616461


@dataclass(frozen=True)
class Schema:
    """What a database says about its schema.

    Args:
        revision: its newest revision; None when it has no schema yet.
        works_since: the oldest revision whose code works with it; None before revision 0005.
        fleet: the uid of the database; None before revision 0005.
    """

    revision: str | None
    works_since: str | None = None
    fleet: str | None = None

    @property
    def newer(self) -> bool:
        """Whether a newer Fornada has upgraded the database."""
        return self.revision is not None and self.revision not in REVISIONS

    @property
    def fits(self) -> bool:
        """Whether this code works with it."""
        if self.fleet is None:
            return False
        return self.revision == HEAD or (self.newer and self.works_since in REVISIONS)


def head() -> str:
    """The revision that this code needs."""
    return HEAD


def current(database: Database) -> str | None:
    """The revision of a database; None when it has no schema yet.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    return schema(database).revision


def schema(database: Database) -> Schema:
    """What a database says about its schema.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with database.read() as connection:
        return _schema(connection)


def mismatch(found: Schema) -> SchemaMismatch:
    """The error for a database whose schema does not fit."""
    return SchemaMismatch(found.revision, HEAD, newer=found.newer)


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
        found = _schema(connection)
        if found.newer:
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


def prepare(database: Database, *, may_upgrade: bool) -> Schema:
    """Check that this code works with the schema.

    Args:
        database: what to check.
        may_upgrade: upgrade an older or empty database; for the embedded database, which belongs to
            this user alone.
    Returns:
        The schema, which has a fleet.
    Raises:
        SchemaMismatch: it does not fit, and `may_upgrade` is false or a newer Fornada has upgraded
            the database.
        DatabaseUnreachable: the database does not answer.
    """
    found = schema(database)
    if found.fits:
        return found
    if not may_upgrade:
        raise mismatch(found)
    upgrade(database)
    return schema(database)


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    """A transaction in which no other process can change the schema."""
    with database.begin(patient=True) as connection:
        if database.dialect == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        yield connection


def _schema(connection: Connection) -> Schema:
    if not inspect(connection).has_table("alembic_version"):
        return Schema(None)
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if not inspect(connection).has_table("fleet"):
        return Schema(found)
    fleet = connection.execute(text("SELECT works_since, uid FROM fleet")).one_or_none()
    return Schema(found, fleet.works_since, fleet.uid) if fleet else Schema(found)


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    attributes: dict[Any, Any] = config.attributes
    attributes["connection"] = connection
    return config
