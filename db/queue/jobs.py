"""Adds jobs: the job's row, its tags, its dependencies, and its first event."""

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
    """Add a job. Adding the same uid or the same key again changes nothing.

    The job is queued. It is held when `new.held` says so, or while a dependency has not ended. It
    is cancelled at once when a dependency has already ended without the success that it needs.

    Args:
        database: where to add it.
        new: the job.
        actor: who submits the job, or which worker found it in a wake-up.
    Returns:
        The job's id. For a known uid or key: the id of the first such job.
    Raises:
        JobNotFound: a dependency, or the job that this one continues, does not exist.
    """
    return add_all(database, [new], actor)[0]


def add_all(database: Database, new_jobs: Sequence[NewJob], actor: str) -> list[int]:
    """Add all jobs in one transaction, each as `add` does. When one fails, none is added.

    One transaction for all is faster: the database writes each commit to disk, and that takes
    longer than the rest of the work for a job.

    Returns:
        Their ids, in the order of `new_jobs`.
    Raises:
        JobNotFound: a dependency, or a job that one of them continues, does not exist.
    """
    with database.begin() as connection:
        ids = _known_ids(connection, new_jobs)
        unknown = [new for new in new_jobs if new.uid not in ids]
        waiting = _waiting(connection, unknown)
        states = {
            new.uid: JobState.HELD if new.held or new.uid in waiting else JobState.QUEUED
            for new in unknown
        }
        ids |= _insert(connection, unknown, states, actor)
        added = [new for new in unknown if new.uid in ids]
        _tag(connection, {ids[new.uid]: new.tags for new in added})
        events = [(ids[new.uid], states[new.uid], _detail(new, states[new.uid])) for new in added]
        moves.record_new_jobs(connection, events, actor)
        for new in added:
            dependents.add_dependencies(connection, ids[new.uid], new.after, new.after_any)
            if new.uid in waiting:
                dependents.decide(connection, ids[new.uid])
        if len(added) < len(unknown):
            # Another connection has added the rest meanwhile, or two new jobs have one key.
            ids |= _known_ids(connection, unknown)
        return [ids[new.uid] for new in new_jobs]


def _waiting(connection: Connection, new_jobs: Sequence[NewJob]) -> set[str]:
    """Uids of the new jobs that must wait for dependencies.

    No dependency can end before this transaction does. Also checks that continued jobs exist.
    """
    needs = {
        after: dependents.lock_dependencies(connection, after)
        for after in {new.after for new in new_jobs}
    }
    for continued in {new.continues for new in new_jobs}:
        _require_job(connection, continued)
    return {
        new.uid
        for new in new_jobs
        if not all(dependents.met(needed.state, new.after_any) for needed in needs[new.after])
    }


def _insert(
    connection: Connection, new_jobs: Sequence[NewJob], states: Mapping[str, JobState], actor: str
) -> dict[str, int]:
    """Insert the jobs whose uid and key are new, and return their ids by uid."""
    if not new_jobs:
        return {}
    rows = [
        row_of(new) | {"state": states[new.uid], "held_by": actor if new.held else None}
        for new in new_jobs
    ]
    found = connection.execute(_insert_job(connection.dialect.name), rows)
    return {row.uid: row.id for row in found}


@cache
def _insert_job(dialect: str) -> ReturningInsert[str, int]:
    """The statement that inserts one job.

    The values of the jobs are parameters, so SQLAlchemy compiles the statement once for any number
    of jobs. It still sends many rows together.
    """
    statement = insert_for(dialect, Job).values(submitted_at=now()).on_conflict_do_nothing()
    return statement.returning(Job.c.uid, Job.c.id)


def _tag(connection: Connection, tags: Mapping[int, Mapping[str, str]]) -> None:
    rows = [
        {"job_id": job_id, "name": name, "value": value}
        for job_id, tags_of_job in tags.items()
        for name, value in tags_of_job.items()
    ]
    if rows:
        connection.execute(insert(JobTag), rows)


def row_of(new: NewJob) -> dict[str, Any]:
    """The columns of a new queued job, without `submitted_at`: the database sets that to now."""
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


def _known_ids(connection: Connection, new_jobs: Sequence[NewJob]) -> dict[str, int]:
    """Ids of existing jobs with the uid or the key of a new job, by the uid of the new job."""
    keys = [new.key for new in new_jobs if new.key is not None]
    same = [Job.c.uid.in_([new.uid for new in new_jobs]), *([Job.c.key.in_(keys)] if keys else [])]
    wanted = select(Job.c.uid, Job.c.key, Job.c.id).where(or_(*same)).order_by(Job.c.id)
    rows = connection.execute(wanted).all()
    found: dict[str, int] = {}
    for new in new_jobs:
        for row in rows:
            if row.uid == new.uid or (new.key is not None and row.key == new.key):
                found.setdefault(new.uid, row.id)
    return found


def _require_job(connection: Connection, job_id: int | None) -> None:
    if job_id is None:
        return
    if connection.scalar(select(Job.c.id).where(Job.c.id == job_id)) is None:
        raise JobNotFound(job_id)


def _detail(new: NewJob, state: JobState) -> Mapping[str, Any] | None:
    """What the event says: everything that was asked besides the spec, and the state if held."""
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
