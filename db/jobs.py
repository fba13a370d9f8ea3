"""Everything that changes a job. Each call is one transaction, with its event row.

What people do stands here; what an attempt does under its fence, in `db.attempts`
and `db.verdicts`; all are called by this module's name.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from db.attempts import claim, record_epochs, renew, requests, started
from db.clock import now
from db.errors import JobNotFound, WrongState
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
from db.moves import moved, tell
from db.session import Database
from db.states import JobState, StopReason
from db.tables import Job, JobTag
from db.upsert import insert_for
from db.verdicts import expire_leases, finish

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
    "add",
    "cancel",
    "claim",
    "expire_leases",
    "finish",
    "record_epochs",
    "renew",
    "requests",
    "started",
]


def add(database: Database, new: NewJob, actor: str) -> int:
    """Record a job as queued; the same uid again changes nothing.

    Args:
        actor: who submits it, or who found it in a wake-up.
    Returns:
        The job's id, the first one when it was known.
    """
    with database.begin() as connection:
        known = connection.scalar(select(Job.id).where(Job.uid == new.uid))
        if known is not None:
            return known
        statement = insert_for(connection, Job).values(_queued(new)).on_conflict_do_nothing()
        job_id: int | None = connection.scalar(statement.returning(Job.id))
        if job_id is None:
            # Another connection recorded it since we looked.
            return connection.execute(select(Job.id).where(Job.uid == new.uid)).scalar_one()
        if new.tags:
            tags = [{"job_id": job_id, "name": k, "value": v} for k, v in new.tags.items()]
            connection.execute(insert(JobTag), tags)
        moved(connection, job_id, (None, JobState.QUEUED), actor)
        return job_id


def cancel(database: Database, job_id: int, actor: str, reason: str | None = None) -> JobState:
    """Cancel a job: at once while it waits; a running one is asked to stop.

    A cancel that was accepted wins over whatever the attempt reports afterwards.

    Returns:
        The state now: `cancelled`, or `running` until the attempt has ended.
    Raises:
        JobNotFound: no job has this id.
        WrongState: it ended otherwise. To cancel a cancelled job is no error.
    """
    with database.begin() as connection:
        job = _locked(connection, job_id)
        if job.state.final:
            if job.state is JobState.CANCELLED:
                return JobState.CANCELLED
            raise WrongState(job_id, job.state, JobState.CANCELLED)
        if job.cancel_requested_at is not None:
            return JobState.RUNNING
        asked = {
            "cancel_requested_at": now(),
            "cancel_requested_by": actor,
            "cancel_reason": reason,
        }
        detail = {"reason": reason} if reason else None
        if job.state is JobState.RUNNING:
            connection.execute(update(Job).where(Job.id == job_id).values(asked))
            tell(connection, job_id, "cancel_requested", actor, detail)
            return JobState.RUNNING
        ended = {
            "state": JobState.CANCELLED,
            "finished_at": now(),
            "stop_reason": StopReason.CANCELLED,
        }
        connection.execute(update(Job).where(Job.id == job_id).values(asked | ended))
        moved(connection, job_id, (job.state, JobState.CANCELLED), actor, detail)
        return JobState.CANCELLED


def _queued(new: NewJob) -> dict[str, Any]:
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
        "time_limit_s": new.time_limit_s,
        "retry_attempts": new.retry_attempts,
        "monitor": new.monitor,
        "monitor_mode": new.monitor_mode,
        "submitted_at": now(),
        "attempt": 0,
        "epochs_run": 0,
    }


def _locked(connection: Connection, job_id: int) -> Row[JobState, datetime | None]:
    wanted = select(Job.state, Job.cancel_requested_at).where(Job.id == job_id).with_for_update()
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return row
