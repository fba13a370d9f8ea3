"""Everything that changes a job. Each call is one transaction, with its event row.

How a job comes to be stands here; what people do to it, in `db.steering`; how it is claimed, in
`db.claims`; what an attempt does under its fence, in `db.attempts`, `db.logs` and `db.verdicts`;
what becomes of those that nobody hears of, in `db.losses`. All are called by this module's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select

from db import dependents
from db.attempts import record_epochs, renew, requests, started
from db.claims import claim, unanswered
from db.clock import iso, now
from db.errors import JobNotFound
from db.facts import (
    ArtifactRow,
    BestModel,
    Claim,
    EpochRow,
    Failure,
    Fence,
    LogChunk,
    LogPlace,
    NewJob,
    Requests,
    StartedFacts,
    Verdict,
)
from db.logs import record_log
from db.losses import abandon, expire_leases
from db.moves import moved
from db.session import Database
from db.states import JobState
from db.steering import cancel, hold, move, release, retry
from db.tables import Job, JobTag
from db.upsert import insert_for
from db.verdicts import finish

__all__ = [
    "ArtifactRow",
    "BestModel",
    "Claim",
    "EpochRow",
    "Failure",
    "Fence",
    "LogChunk",
    "LogPlace",
    "NewJob",
    "Requests",
    "StartedFacts",
    "Verdict",
    "abandon",
    "add",
    "add_all",
    "cancel",
    "claim",
    "expire_leases",
    "finish",
    "hold",
    "move",
    "record_epochs",
    "record_log",
    "release",
    "renew",
    "requests",
    "retry",
    "started",
    "unanswered",
]


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
        return [_add(connection, new, actor) for new in news]


def _add(connection: Connection, new: NewJob, actor: str) -> int:
    known = _known(connection, new)
    if known is not None:
        return known
    needs = dependents.needs(connection, new.after)
    _see(connection, new.continues)
    waits = not all(dependents.met(need.state, new.after_any) for need in needs)
    state = JobState.HELD if new.held or waits else JobState.QUEUED
    row = row_of(new) | {"state": state, "held_by": actor if new.held else None}
    statement = insert_for(connection, Job).values(row).on_conflict_do_nothing()
    job_id: int | None = connection.scalar(statement.returning(Job.id))
    if job_id is None:
        # Another connection recorded it since we looked.
        return _first(connection, new)
    if new.tags:
        tags = [{"job_id": job_id, "name": k, "value": v} for k, v in new.tags.items()]
        connection.execute(insert(JobTag), tags)
    moved(connection, job_id, (None, state), actor, _wishes(new, state))
    dependents.wait_for(connection, job_id, new.after, new.after_any)
    if waits:
        dependents.decide(connection, job_id)
    return job_id


def row_of(new: NewJob) -> dict[str, Any]:
    """The columns of a job that waits in its queue."""
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
        "submitted_at": now(),
        "attempt": 0,
        "tries": 0,
        "resume_after": 0,
        "epochs_run": 0,
    }


def _known(connection: Connection, new: NewJob) -> int | None:
    same = Job.uid == new.uid if new.key is None else or_(Job.uid == new.uid, Job.key == new.key)
    return connection.scalar(select(func.min(Job.id)).where(same))


def _first(connection: Connection, new: NewJob) -> int:
    known = _known(connection, new)
    if known is None:
        raise RuntimeError(f"job {new.uid} was neither recorded nor known")
    return known


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
