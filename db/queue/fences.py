"""Fences: an attempt can write only while it holds its job.

An attempt holds its job while the job runs and the attempt is the job's last. Each statement here
checks that in its WHERE clause, so an attempt that lost its job changes nothing.

The statements are built once, when the module is imported, and get their values when they are
executed. Building a statement takes longer than everything else that Python does to execute it.
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

# These states are literals in the SQL text and not parameters: the planner uses a partial index
# only when it knows the value.
QUEUED = literal_column(f"'{JobState.QUEUED}'", Job.c.state.type)
RUNNING = literal_column(f"'{JobState.RUNNING}'", Job.c.state.type)
HELD = literal_column(f"'{JobState.HELD}'", Job.c.state.type)
SUCCEEDED = literal_column(f"'{JobState.SUCCEEDED}'", Job.c.state.type)

# The columns that `write_job` and `lock_job` return.
_RETURNED = tuple(
    Job.c[name]
    for name in (
        *("id", "attempt", "worker", "queue", "gpus", "tries", "retry_attempts"),
        *("lease_until", "lease_s"),
        *("cancel_requested_at", "cancel_requested_by", "cancel_reason", "cancel_grace_s"),
    )
)

# The job and the attempt of the fence: `fence_values` gives their values.
FENCE_JOB: BindParameter[int] = bindparam("fence_job")
FENCE_ATTEMPT: BindParameter[int] = bindparam("fence_attempt")
# True while the attempt holds its job.
FENCE_HOLDS = and_(Job.c.id == FENCE_JOB, Job.c.attempt == FENCE_ATTEMPT, Job.c.state == RUNNING)
# The default statements of `write_job` and `write_attempt`. Other modules add values to them.
UPDATE_JOB = update(Job).where(FENCE_HOLDS).returning(*_RETURNED)
UPDATE_ATTEMPT = (
    update(Attempt)
    .where(Attempt.c.job_id == FENCE_JOB, Attempt.c.number == FENCE_ATTEMPT)
    .returning(Attempt.c.worker, Attempt.c.host)
)
# With `key_share`, other transactions may still insert rows that refer to the job, such as events.
_LOCK_JOB = select(*_RETURNED).where(FENCE_HOLDS).with_for_update(key_share=True)
_SHARE_JOB = select(Job.c.id).where(FENCE_HOLDS).with_for_update(read=True)


def unindexed(state: ColumnElement[JobState] = Job.c.state) -> ColumnElement[JobState]:
    """A job's state, written so that the planner cannot use a plain index on the state.

    For a query that should find the job in another way. The statistics of the planner may be old
    and say that few jobs have a state. It would then read all jobs with that state.
    """
    return func.coalesce(state, literal_column("''"))


def queued() -> ColumnElement[bool]:
    """Whether a job is queued. The indexes for the claim have this expression, and no other one."""
    return unindexed() == QUEUED


def fence_values(fence: Fence) -> dict[str, int]:
    """The values of `FENCE_JOB` and `FENCE_ATTEMPT`."""
    return {FENCE_JOB.key: fence.job_id, FENCE_ATTEMPT.key: fence.attempt}


def write_job(
    connection: Connection, fence: Fence, statement: Update = UPDATE_JOB, **values: Any
) -> Row[Any]:
    """Write to the job's row and lock it until the transaction ends.

    It must be the first write of the transaction, unless `lock_job` came before.

    Args:
        connection: the transaction.
        fence: the attempt that writes.
        statement: `UPDATE_JOB`, perhaps with SQL expressions as further values.
        values: plain values, by column or by the name of a parameter of the statement.
    Returns:
        From the row after the write: id, attempt, worker, queue, gpus, tries, retry_attempts, the
        lease, and the columns of a request to cancel.
    Raises:
        Fenced: the attempt no longer holds the job.
    """
    row = connection.execute(statement, fence_values(fence) | values).one_or_none()
    return _require(row, fence)


def lock_job(connection: Connection, fence: Fence) -> Row[Any]:
    """Lock the job's row until the transaction ends, before a write that depends on its values.

    Returns, Raises: as `write_job`.
    """
    return _require(connection.execute(_LOCK_JOB, fence_values(fence)).one_or_none(), fence)


def share_job(connection: Connection, fence: Fence) -> None:
    """Check that the attempt holds the job, and let nobody change that until the transaction ends.

    For a write to other tables. It does not write to the job's row: the row is long, and PostgreSQL
    copies it at each write.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    _require(connection.execute(_SHARE_JOB, fence_values(fence)).one_or_none(), fence)


def write_attempt(
    connection: Connection, fence: Fence, statement: Update = UPDATE_ATTEMPT, **values: Any
) -> Row[str, str]:
    """Write to the attempt's row. Call `write_job` or `lock_job` first: they check the fence.

    Args:
        connection: the transaction.
        fence: the attempt that writes.
        statement: `UPDATE_ATTEMPT`, perhaps with SQL expressions as further values.
        values: plain values by column.
    Returns:
        The names of the attempt's worker and host.
    """
    return connection.execute(statement, fence_values(fence) | values).one()


def best_columns(best: BestModelRow | None) -> dict[str, Any]:
    """The values of the job's `best_…` columns. All are null when there is no best model."""
    return {
        "best_epoch": best.epoch if best else None,
        "best_value": best.value if best else None,
        "best_uri": best.uri if best else None,
        "best_bytes": best.bytes if best else None,
        "best_sha256": best.sha256 if best else None,
    }


def _require(row: Row[Any] | None, fence: Fence) -> Row[Any]:
    if row is None:
        raise Fenced(fence.job_id, fence.attempt)
    return row
