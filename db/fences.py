"""The fence: a write of an attempt happens only while the attempt holds its job."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    func,
    literal,
    literal_column,
    select,
    update,
)

from db.errors import Fenced
from db.facts import BestModel, Fence
from db.states import JobState
from db.tables import Attempt, Job

# Written into the statement: a partial index serves only what is known when it is planned.
QUEUED = literal(JobState.QUEUED, Job.state.type, literal_execute=True)
RUNNING = literal(JobState.RUNNING, Job.state.type, literal_execute=True)
HELD = literal(JobState.HELD, Job.state.type, literal_execute=True)
SUCCEEDED = literal(JobState.SUCCEEDED, Job.state.type, literal_execute=True)

# What a verdict needs to know of its job.
_KNOWN = tuple(
    Job.__table__.c[name]
    for name in (
        *("id", "attempt", "worker", "tries", "retry_attempts"),
        *("cancel_requested_at", "cancel_requested_by", "cancel_reason", "cancel_grace_s"),
    )
)


def unindexed(job: type[Job] = Job) -> ColumnElement[JobState]:
    """A job's state, spelled so that no index serves it.

    For a job that is found otherwise: planners that think few are in a state, because few were
    when they last counted, would rather read all of those.
    """
    return func.coalesce(job.state, literal_column("''"))


def queued() -> ColumnElement[bool]:
    """Whether a job is queued: served by the indexes that are made for the claim, and no other."""
    return unindexed() == QUEUED


def holds(fence: Fence) -> ColumnElement[bool]:
    """Whether the attempt is the job's last, and the job runs."""
    return and_(Job.id == fence.job_id, Job.attempt == fence.attempt, Job.state == RUNNING)


def write_job(connection: Connection, fence: Fence, **values: Any) -> Row[Any]:
    """Write to the job's row and lock it until the transaction ends: the first write of each.

    Returns:
        Of the row as it is now: id, attempt, worker, tries, retry_attempts, and what is known
        of a request to cancel it.
    Raises:
        Fenced: the attempt no longer holds the job.
    """
    written = update(Job).where(holds(fence)).values(values).returning(*_KNOWN)
    row = connection.execute(written).one_or_none()
    if row is None:
        raise Fenced(fence.job_id, fence.attempt)
    return row


def share_job(connection: Connection, fence: Fence) -> None:
    """See that the fence holds, and that it does until the transaction ends; write nothing.

    For what belongs to the attempt alone: the job's row is long, and each write copies it.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    held = select(Job.id).where(holds(fence)).with_for_update(read=True)
    if connection.scalar(held) is None:
        raise Fenced(fence.job_id, fence.attempt)


def write_attempt(connection: Connection, fence: Fence, **values: Any) -> Row[str, str]:
    """Write to the attempt's row, under a fence that holds.

    Returns:
        The names of its worker and host.
    """
    written = (
        update(Attempt)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
        .values(values)
        .returning(Attempt.worker, Attempt.host)
    )
    return connection.execute(written).one()


def best_columns(best: BestModel | None) -> dict[str, Any]:
    """The job's columns of its best model; all null without one."""
    return {
        "best_epoch": best.epoch if best else None,
        "best_value": best.value if best else None,
        "best_uri": best.uri if best else None,
        "best_bytes": best.bytes if best else None,
        "best_sha256": best.sha256 if best else None,
    }
