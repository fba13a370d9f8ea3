"""How a job is recorded: its row, its tags, the jobs that it waits for, and its first event."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, insert, or_, select
from sqlalchemy.sql.dml import ReturningInsert

from fornada.db.clock import now
from fornada.db.errors import JobNotFound
from fornada.db.queue import dependents, moves
from fornada.db.records import NewJob
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, JobTag
from fornada.db.store.upsert import insert_for
from fornada.db.timestamps import iso


def add(database: Database, new: NewJob, actor: str) -> int:
    """Record a job; the same uid, or the same key, again changes nothing.

    It is queued; held when it is to be, or while jobs that it waits for have not ended. When one
    of those has ended in vain already, it is cancelled at once, with the reason.

    Args:
        actor: who submits it, or who found it in a wake-up.
    Returns:
        The job's id, the first one when it was known.
    Raises:
        JobNotFound: a job that it waits for, or goes on from, is none.
    """
    return add_all(database, [new], actor)[0]


def add_all(database: Database, news: Sequence[NewJob], actor: str) -> list[int]:
    """Record jobs, all of them or none; each as `add` does.

    A database brings each transaction to disk, which takes longer than a job takes otherwise.

    Returns:
        Their ids, in order.
    Raises:
        JobNotFound: a job that one of them waits for, or goes on from, is none.
    """
    with database.begin() as connection:
        ids = _known(connection, news)
        fresh = [new for new in news if new.uid not in ids]
        waiting = _waiting(connection, fresh)
        states = {
            new.uid: JobState.HELD if new.held or new.uid in waiting else JobState.QUEUED
            for new in fresh
        }
        ids |= _insert(connection, fresh, states, actor)
        added = [new for new in fresh if new.uid in ids]
        _tag(connection, {ids[new.uid]: new.tags for new in added})
        begun = [(ids[new.uid], states[new.uid], _wishes(new, states[new.uid])) for new in added]
        moves.begun(connection, begun, actor)
        for new in added:
            dependents.wait_for(connection, ids[new.uid], new.after, new.after_any)
            if new.uid in waiting:
                dependents.decide(connection, ids[new.uid])
        if len(added) < len(fresh):
            # Another connection recorded the others since we looked, or they share a key.
            ids |= _known(connection, fresh)
        return [ids[new.uid] for new in news]


def _waiting(connection: Connection, news: Sequence[NewJob]) -> set[str]:
    """Uids of new jobs that wait for others, none of which ends before this transaction does."""
    needs = {after: dependents.needs(connection, after) for after in {new.after for new in news}}
    for continued in {new.continues for new in news}:
        _see(connection, continued)
    return {
        new.uid
        for new in news
        if not all(dependents.met(need.state, new.after_any) for need in needs[new.after])
    }


def _insert(
    connection: Connection, news: Sequence[NewJob], states: Mapping[str, JobState], actor: str
) -> dict[str, int]:
    """Ids of the jobs that nobody had recorded yet, by uid."""
    if not news:
        return {}
    rows = [
        row_of(new) | {"state": states[new.uid], "held_by": actor if new.held else None}
        for new in news
    ]
    found = connection.execute(_new(connection.dialect.name), rows)
    return {row.uid: row.id for row in found}


@cache
def _new(dialect: str) -> ReturningInsert[str, int]:
    """Of one row, so that SQLAlchemy compiles it once; it sends many in one statement."""
    statement = insert_for(dialect, Job).values(submitted_at=now()).on_conflict_do_nothing()
    return statement.returning(Job.uid, Job.id)


def _tag(connection: Connection, tags: Mapping[int, Mapping[str, str]]) -> None:
    rows = [
        {"job_id": job_id, "name": name, "value": value}
        for job_id, of_job in tags.items()
        for name, value in of_job.items()
    ]
    if rows:
        connection.execute(insert(JobTag), rows)


def row_of(new: NewJob) -> dict[str, Any]:
    """The columns of a job that waits in its queue, but `submitted_at`: the database's now."""
    return {
        "uid": new.uid,
        "name": new.name,
        "state": JobState.QUEUED,
        "queue": new.queue,
        "priority": new.priority,
        "gpus": new.gpus,
        "spec": new.spec,
        "spec_hash": new.spec_hash,
        "seed": new.seed,
        "user": new.user,
        "key": new.key,
        "not_before": new.not_before,
        "continues_id": new.continues,
        "time_limit_s": new.time_limit_s,
        "retry_attempts": new.retry_attempts,
        "monitor": new.monitor,
        "monitor_mode": new.monitor_mode,
        "attempt": 0,
        "tries": 0,
        "resume_after": 0,
        "epochs_run": 0,
    }


def _known(connection: Connection, news: Sequence[NewJob]) -> dict[str, int]:
    """The first job with the uid of each, or with its key, by its uid."""
    keys = [new.key for new in news if new.key is not None]
    same = [Job.uid.in_([new.uid for new in news]), *([Job.key.in_(keys)] if keys else [])]
    wanted = select(Job.uid, Job.key, Job.id).where(or_(*same)).order_by(Job.id)
    rows = connection.execute(wanted).all()
    found: dict[str, int] = {}
    for new in news:
        for row in rows:
            if row.uid == new.uid or (new.key is not None and row.key == new.key):
                found.setdefault(new.uid, row.id)
    return found


def _see(connection: Connection, job_id: int | None) -> None:
    if job_id is None:
        return
    if connection.scalar(select(Job.id).where(Job.id == job_id)) is None:
        raise JobNotFound(job_id)


def _wishes(new: NewJob, state: JobState) -> Mapping[str, Any] | None:
    """What was asked beyond the spec, for the event; its state when it does not say so itself."""
    asked = {
        "state": state if state is JobState.HELD else None,
        "held": new.held or None,
        "not_before": iso(new.not_before),
        "after": list(new.after) or None,
        "after_any": new.after_any or None,
        "continues": new.continues,
        "key": new.key,
    }
    return {name: value for name, value in asked.items() if value is not None} or None
