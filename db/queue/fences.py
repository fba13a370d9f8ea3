"""The fence: a write of an attempt happens only while the attempt holds its job.

The statements are built once, and take their values when they are executed: to build one anew takes
longer than all else that Python does for it.
"""

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Update,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    update,
)

from fornada.db.errors import Fenced
from fornada.db.records import BestModelRow, Fence
from fornada.db.states import JobState
from fornada.db.store.tables import Attempt, Job

# Written into the statement: a partial index serves only what is known when it is planned.
QUEUED = literal_column(f"'{JobState.QUEUED}'", Job.state.type)
RUNNING = literal_column(f"'{JobState.RUNNING}'", Job.state.type)
HELD = literal_column(f"'{JobState.HELD}'", Job.state.type)
SUCCEEDED = literal_column(f"'{JobState.SUCCEEDED}'", Job.state.type)

# What a verdict needs to know of its job.
_KNOWN = tuple(
    Job.__table__.c[name]
    for name in (
        *("id", "attempt", "worker", "tries", "retry_attempts"),
        *("cancel_requested_at", "cancel_requested_by", "cancel_reason", "cancel_grace_s"),
    )
)

# The attempt that a statement is about.
FENCE_JOB: BindParameter[int] = bindparam("fence_job")
FENCE_ATTEMPT: BindParameter[int] = bindparam("fence_attempt")
# Whether it is the job's last, and the job runs.
HOLDS = and_(Job.id == FENCE_JOB, Job.attempt == FENCE_ATTEMPT, Job.state == RUNNING)
# Statements for `write_job` and `write_attempt`; those with values of their own go on from here.
JOB = update(Job).where(HOLDS).returning(*_KNOWN)
ATTEMPT = (
    update(Attempt)
    .where(Attempt.job_id == FENCE_JOB, Attempt.number == FENCE_ATTEMPT)
    .returning(Attempt.worker, Attempt.host)
)
# Whoever only refers to the job, as its events do, is not kept waiting.
_LOCKED = select(*_KNOWN).where(HOLDS).with_for_update(key_share=True)
_SHARED = select(Job.id).where(HOLDS).with_for_update(read=True)


def unindexed(job: type[Job] = Job) -> ColumnElement[JobState]:
    """A job's state, spelled so that no index serves it.

    For a job that is found otherwise: planners that think few are in a state, because few were
    when they last counted, would rather read all of those.
    """
    return func.coalesce(job.state, literal_column("''"))


def queued() -> ColumnElement[bool]:
    """Whether a job is queued: served by the indexes that are made for the claim, and no other."""
    return unindexed() == QUEUED


def named(fence: Fence) -> dict[str, int]:
    """The values of `FENCE_JOB` and `FENCE_ATTEMPT`."""
    return {FENCE_JOB.key: fence.job_id, FENCE_ATTEMPT.key: fence.attempt}


def write_job(
    connection: Connection, fence: Fence, statement: Update = JOB, **values: Any
) -> Row[Any]:
    """Write to the job's row and lock it until the transaction ends.

    The first write of each transaction, unless `lock_job` came before.

    Args:
        statement: `JOB`, with more values where those are no plain ones.
        values: by column, or by what the statement names.
    Returns:
        Of the row as it is now: id, attempt, worker, tries, retry_attempts, and what is known
        of a request to cancel it.
    Raises:
        Fenced: the attempt no longer holds the job.
    """
    return _held(connection.execute(statement, named(fence) | values).one_or_none(), fence)


def lock_job(connection: Connection, fence: Fence) -> Row[Any]:
    """Lock the job's row until the transaction ends; for a write that depends on what it says.

    Returns, Raises: as `write_job`.
    """
    return _held(connection.execute(_LOCKED, named(fence)).one_or_none(), fence)


def share_job(connection: Connection, fence: Fence) -> None:
    """See that the fence holds, and that it does until the transaction ends; write nothing.

    For what belongs to the attempt alone: the job's row is long, and each write copies it.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    _held(connection.execute(_SHARED, named(fence)).one_or_none(), fence)


def write_attempt(
    connection: Connection, fence: Fence, statement: Update = ATTEMPT, **values: Any
) -> Row[str, str]:
    """Write to the attempt's row, under a fence that holds.

    Args:
        statement: `ATTEMPT`, with more values where those are no plain ones.
        values: by column.
    Returns:
        The names of its worker and host.
    """
    return connection.execute(statement, named(fence) | values).one()


def best_columns(best: BestModelRow | None) -> dict[str, Any]:
    """The job's columns of its best model; all null without one."""
    return {
        "best_epoch": best.epoch if best else None,
        "best_value": best.value if best else None,
        "best_uri": best.uri if best else None,
        "best_bytes": best.bytes if best else None,
        "best_sha256": best.sha256 if best else None,
    }


def _held(row: Row[Any] | None, fence: Fence) -> Row[Any]:
    if row is None:
        raise Fenced(fence.job_id, fence.attempt)
    return row
