"""The revisions of the schema, and the functions that upgrade, downgrade and check a database.

Alembic is imported only to change or compare a schema. To check the revision takes two queries and
no Alembic.

A schema may be newer than the code: a revision that only adds something leaves `works_since` of the
table `fleet` as it is, and the code of that revision and later ones still works. So a database can
be upgraded while workers and clients of the version before run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

from fornada.db.errors import LockTimeout, SchemaBusy, SchemaMismatch
from fornada.db.migrations import revisions
from fornada.db.records import LockHolder
from fornada.db.store import table_locks
from fornada.db.store.session import Database

# Oldest first. What a released revision does never changes.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
HEAD = REVISIONS[-1]
# Seconds for which an upgrade tries to lock what it changes.
WAIT_S = 30.0
# Seconds that one try waits. Our statements that queue up behind it give up only after 10 s.
_TRY_S = 3.0
# Seconds between two tries, in which those that waited do their work.
_PAUSE_S = 2.0


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


def upgrade(
    database: Database,
    revision: str = HEAD,
    *,
    wait_s: float = WAIT_S,
    waits_for: Callable[[Sequence[LockHolder]], None] = lambda holders: None,
) -> None:
    """Upgrade a database in one transaction. Other upgrades wait until it has ended.

    While it waits for a lock, others wait behind it. So it waits for 3 s, gives up all that it has,
    and tries again 2 s later.

    Args:
        database: what to upgrade.
        revision: the revision to stop at; the newest by default.
        wait_s: seconds after which it no longer tries.
        waits_for: called after a try in vain, with those that hold the locks.
    Raises:
        SchemaMismatch: a newer Fornada has upgraded the database.
        SchemaBusy: others held the locks for too long. Nothing has changed.
        DatabaseUnreachable: the database does not answer.
    """
    end = time.monotonic() + wait_s
    while True:
        try:
            _upgrade(database, revision, min(wait_s, _TRY_S))
        except LockTimeout as error:
            holders = _lock_holders(database, revision)
            if time.monotonic() + _PAUSE_S > end:
                raise SchemaBusy(wait_s, holders) from error
            waits_for(holders)
            time.sleep(_PAUSE_S)
        else:
            return


def _upgrade(database: Database, last: str, wait_s: float) -> None:
    from alembic import command

    with _locked(database, wait_s) as connection:
        found = _schema(connection)
        if found.newer:
            raise mismatch(found)
        to_run = revisions.revisions(found.revision, last)
        table_locks.lock(connection, revisions.locks_of(to_run), wait_s)
        command.upgrade(revisions.config(connection), last)
        _write_works_since(connection, to_run)


def _write_works_since(connection: Connection, run: Sequence[revisions.Revision]) -> None:
    said = [revision.works_since for revision in run if revision.works_since]
    if said:
        connection.execute(text("UPDATE fleet SET works_since = :since"), {"since": said[-1]})


def _lock_holders(database: Database, last: str) -> tuple[LockHolder, ...]:
    # Who holds the file of SQLite may keep readers out, too.
    before = schema(database).revision if database.file is None else None
    to_run = revisions.revisions(before, last)
    return table_locks.holders(database, revisions.locks_of(to_run))


def downgrade(database: Database, revision: str = "base") -> None:
    """Take a database back to an older revision. Data that later revisions added is lost."""
    from alembic import command

    with _locked(database, _TRY_S) as connection:
        command.downgrade(revisions.config(connection), revision)
        since = None if revision == "base" else revisions.works_since(revision)
        if since is not None:
            connection.execute(text("UPDATE fleet SET works_since = :since"), {"since": since})


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
    # Nobody else's work queues up behind a file of one's own. A worker that starts waits for the
    # database as long as it is unreachable, so this raises no SchemaBusy.
    _upgrade(database, HEAD, WAIT_S)
    return schema(database)


@contextmanager
def _locked(database: Database, wait_s: float) -> Iterator[Connection]:
    """A transaction in which no other process can change the schema."""
    with database.begin(lock_wait_s=wait_s) as connection:
        table_locks.take_turns(connection)
        yield connection


def _schema(connection: Connection) -> Schema:
    if not inspect(connection).has_table("alembic_version"):
        return Schema(None)
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if not inspect(connection).has_table("fleet"):
        return Schema(found)
    fleet = connection.execute(text("SELECT works_since, uid FROM fleet")).one_or_none()
    return Schema(found, fleet.works_since, fleet.uid) if fleet else Schema(found)
