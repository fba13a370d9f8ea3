"""What an upgrade will do: which revisions it runs, what waits for it, and for how long."""

from dataclasses import dataclass

from sqlalchemy import text

from fornada.db import migrations
from fornada.db.migrations import revisions
from fornada.db.migrations.revisions import Revision
from fornada.db.records import LockHolder
from fornada.db.store import table_locks
from fornada.db.store.session import Database
from fornada.db.store.table_locks import LockedOut


@dataclass(frozen=True)
class Plan:
    """What an upgrade will do.

    Args:
        before: the revision of the database now; None when it has no schema yet.
        after: its revision after the upgrade.
        to_run: the revisions that run, in one transaction.
        locks: the tables that are locked meanwhile, each with the statements that wait.
        jobs: the most jobs that there can be.
        seconds: about how long it takes with so many jobs.
        works_since: the oldest revision whose code works with the database afterwards.
        others_may_run: whether workers and clients that work with the database now also work with
            it while it is upgraded and afterwards.
        holders: who holds locks now for which the upgrade would wait.
    """

    before: str | None
    after: str
    to_run: tuple[Revision, ...]
    locks: dict[str, LockedOut]
    jobs: int
    seconds: float
    works_since: str | None
    others_may_run: bool
    holders: tuple[LockHolder, ...]


def plan(database: Database, last: str = migrations.HEAD) -> Plan:
    """What `migrations.upgrade` would do now.

    Args:
        database: what to upgrade.
        last: the revision to stop at; the newest by default.
    Raises:
        SchemaMismatch: a newer Fornada has upgraded the database.
        DatabaseUnreachable: the database does not answer.
    """
    found = migrations.schema(database)
    if found.newer:
        raise migrations.mismatch(found)
    to_run = revisions.revisions(found.revision, last)
    locks = revisions.locks_of(to_run)
    jobs = _most_jobs(database) if found.revision else 0
    works_since = revisions.works_since(last)
    return Plan(
        before=found.revision,
        after=max(last, found.revision or last),
        to_run=to_run,
        locks=locks,
        jobs=jobs,
        seconds=sum(each.seconds_with(jobs, database.dialect) for each in to_run),
        works_since=works_since,
        others_may_run=not to_run or works_since == found.works_since or found.revision is None,
        holders=table_locks.holders(database, locks) if found.revision and to_run else (),
    )


def _most_jobs(database: Database) -> int:
    """The highest id of a job: to count a million rows would take longer."""
    with database.read() as connection:
        return connection.scalar(text("SELECT max(id) FROM job")) or 0
