"""The fence: a write of an attempt happens only while the attempt holds its job."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, literal, update

from db.errors import Fenced
from db.facts import BestModel, Fence
from db.states import JobState
from db.tables import Attempt, Job

# Written into the statement: a partial index serves only what is known when it is planned.
QUEUED = literal(JobState.QUEUED, Job.state.type, literal_execute=True)
RUNNING = literal(JobState.RUNNING, Job.state.type, literal_execute=True)


def holds(fence: Fence) -> ColumnElement[bool]:
    """Whether the attempt is the job's last, and the job runs."""
    return and_(Job.id == fence.job_id, Job.attempt == fence.attempt, Job.state == RUNNING)


def hold(
    connection: Connection, fence: Fence, **values: Any
) -> Row[JobState, datetime | None, int | None]:
    """Write to the job's row and lock it until the transaction ends: the first write of each.

    Returns:
        Of the row as it is now: state, cancel_requested_at, best_epoch.
    Raises:
        Fenced: the attempt no longer holds the job.
    """
    written = (
        update(Job)
        .where(holds(fence))
        .values(values)
        .returning(Job.state, Job.cancel_requested_at, Job.best_epoch)
    )
    row = connection.execute(written).one_or_none()
    if row is None:
        raise Fenced(fence.job_id, fence.attempt)
    return row


def write_attempt(connection: Connection, fence: Fence, **values: Any) -> str:
    """Write to the attempt's row, under a fence that holds.

    Returns:
        The worker's name.
    """
    written = (
        update(Attempt)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
        .values(values)
        .returning(Attempt.worker)
    )
    return connection.execute(written).scalar_one()


def best_columns(best: BestModel | None) -> dict[str, Any]:
    """The job's columns of its best model; all null without one."""
    return {
        "best_epoch": best.epoch if best else None,
        "best_value": best.value if best else None,
        "best_uri": best.uri if best else None,
        "best_bytes": best.bytes if best else None,
        "best_sha256": best.sha256 if best else None,
    }
