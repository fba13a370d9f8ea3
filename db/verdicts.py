"""How an attempt ends: by its own verdict, or because its lease ran out."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from db.clock import later, now, seconds_between
from db.facts import ArtifactRow, Failure, Fence, Verdict
from db.fences import RUNNING, best_columns, hold, holds, write_attempt
from db.moves import moved
from db.session import Database
from db.states import AttemptOutcome, FailureCode, JobState, StopReason
from db.tables import Artifact, Epoch, Job, Upkeep
from db.upsert import upsert

# What becomes of a job when its attempt ends so. Crashes and losses have no second chance yet.
STATE_AFTER: Mapping[AttemptOutcome, JobState] = {
    AttemptOutcome.SUCCEEDED: JobState.SUCCEEDED,
    AttemptOutcome.FAILED: JobState.FAILED,
    AttemptOutcome.CANCELLED: JobState.CANCELLED,
    AttemptOutcome.PREEMPTED: JobState.QUEUED,
    AttemptOutcome.CRASHED: JobState.FAILED,
    AttemptOutcome.LOST: JobState.FAILED,
    AttemptOutcome.TIMED_OUT: JobState.FAILED,
}
# The code of a failure that came without one.
_CODE_OF: Mapping[AttemptOutcome, FailureCode] = {
    AttemptOutcome.FAILED: FailureCode.INTERNAL,
    AttemptOutcome.CRASHED: FailureCode.CRASHED,
    AttemptOutcome.LOST: FailureCode.WORKER_LOST,
    AttemptOutcome.TIMED_OUT: FailureCode.TIME_LIMIT,
}
_JOB = Job.__table__.c
_CANCELLED = Job.cancel_requested_at.is_not(None)


def finish(database: Database, fence: Fence, verdict: Verdict) -> JobState:
    """End an attempt, and the job with it unless it goes back to its queue.

    A cancel that was accepted before wins, decided by the one UPDATE; best model, artifacts
    and test result are recorded all the same. A verdict without a best model takes back the one
    that the attempt's epochs reported: its file is not there.

    Returns:
        The job's state now: what everybody is to report.
    Raises:
        Fenced: the attempt no longer holds the job; also when it was finished already.
    """
    with database.begin() as connection:
        if verdict.best is None:
            _forget_best(connection, fence)
        job = hold(connection, fence, **_ended(verdict))
        failure = _failure(verdict)
        worker = write_attempt(
            connection,
            fence,
            ended_at=now(),
            outcome=verdict.outcome,
            exit_status=verdict.exit_status,
            failure_code=failure.code if failure else None,
            failure_message=failure.message if failure else None,
            traceback=failure.traceback if failure else None,
        )
        _artifacts(connection, fence, verdict.artifacts)
        detail = {"attempt": fence.attempt, "outcome": verdict.outcome}
        if failure:
            detail |= {"code": failure.code, "message": failure.message}
        change = (JobState.RUNNING, job.state)
        moved(connection, fence.job_id, change, worker, detail)
        state: JobState = job.state
        return state


def expire_leases(database: Database) -> list[int]:
    """End the attempts whose lease has run out; after an outage, not before a full lease.

    Returns:
        The jobs whose attempt was lost.
    """
    with database.begin() as connection:
        # Here jobs with attempts left will go back to their queue, as LOST then allows.
        expired = connection.execute(_expire()).all()
        for job in expired:
            fence = Fence(job.id, job.attempt)
            code = FailureCode.WORKER_LOST
            message = _lost(job.worker)
            write_attempt(
                connection,
                fence,
                ended_at=now(),
                outcome=AttemptOutcome.LOST,
                failure_code=code,
                failure_message=message,
            )
            detail = {"attempt": job.attempt, "outcome": AttemptOutcome.LOST, "code": code}
            moved(connection, job.id, (JobState.RUNNING, job.state), "upkeep", detail)
        return [job.id for job in expired]


def _ended(verdict: Verdict) -> dict[str, Any]:
    """The job's columns when its attempt ends; of two futures the row itself chooses."""
    failure = _failure(verdict)
    ended = _after(
        STATE_AFTER[verdict.outcome],
        stop_reason=verdict.stop_reason,
        failure_code=failure.code if failure else None,
        failure_message=failure.message if failure else None,
    )
    if verdict.best:
        ended |= best_columns(verdict.best)
    if verdict.test is not None:
        ended["test"] = verdict.test
    return ended


def _forget_best(connection: Connection, fence: Fence) -> None:
    """Forget the live best model of an attempt that did not leave one; not an earlier one's."""
    own = select(Epoch.number).where(
        Epoch.job_id == fence.job_id,
        Epoch.number == Job.best_epoch,
        Epoch.attempt == fence.attempt,
    )
    connection.execute(update(Job).where(holds(fence), own.exists()).values(best_columns(None)))


def _after(state: JobState, **values: Any) -> dict[str, Any]:
    """Columns for `state` and these values, or for a cancel that was accepted before."""
    cancelled: dict[str, Any] = {
        "state": JobState.CANCELLED,
        "stop_reason": StopReason.CANCELLED,
        "failure_code": None,
        "failure_message": None,
    } | _FINAL
    other: dict[str, Any] = {"state": state} | values | (_FINAL if state.final else _WAITING)
    chosen = {
        name: case(
            (_CANCELLED, _sql(_JOB[name], cancelled[name])),
            else_=_sql(_JOB[name], other[name]),
        )
        for name in cancelled
    }
    return chosen | {"lease_until": None, "lease_s": None}


# A job that is over keeps where it ran; one that waits again has nowhere.
_FINAL: dict[str, Any] = {
    "started_at": _JOB.started_at,
    "finished_at": now(),
    "duration_s": seconds_between(Job.started_at, now()),
    "worker": _JOB.worker,
    "slot": _JOB.slot,
}
_WAITING: dict[str, Any] = dict.fromkeys(_FINAL)


def _sql(column: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
    if value is None:
        return null()
    return value if isinstance(value, ColumnElement) else literal(value, column.type)


def _failure(verdict: Verdict) -> Failure | None:
    code = _CODE_OF.get(verdict.outcome)
    if verdict.failure or code is None:
        return verdict.failure
    return Failure(code, f"the attempt ended as {verdict.outcome}")


def _artifacts(connection: Connection, fence: Fence, artifacts: Sequence[ArtifactRow]) -> None:
    rows = [
        {
            "job_id": fence.job_id,
            "attempt": fence.attempt,
            "uri": artifact.uri,
            "kind": artifact.kind,
            "bytes": artifact.bytes,
            "sha256": artifact.sha256,
        }
        for artifact in artifacts
    ]
    upsert(connection, Artifact, rows, key=("job_id", "attempt", "uri"))


def lost() -> Select[int]:
    """Ids of the jobs whose attempt has not been heard of for longer than its lease."""
    resumed = select(Upkeep.resumed_at).scalar_subquery()
    return (
        select(Job.id)
        .where(
            Job.state == RUNNING,
            Job.lease_until < now(),
            # The database was away from everybody: nobody could renew.
            or_(resumed.is_(None), later(resumed, Job.lease_s) < now()),
        )
        # An attempt that is writing at this moment is alive.
        .with_for_update(skip_locked=True)
    )


def _expire() -> ReturningUpdate[int, int, JobState, str | None]:
    expired = lost().cte("lost")
    return (
        update(Job)
        .where(Job.id.in_(select(expired.c.id)), Job.state == RUNNING)
        .values(
            _after(
                STATE_AFTER[AttemptOutcome.LOST],
                stop_reason=None,
                failure_code=FailureCode.WORKER_LOST,
                failure_message=_lost(Job.worker),
            )
        )
        .returning(Job.id, Job.attempt, Job.state, Job.worker)
    )


def _lost(worker: Any) -> Any:
    """Why, of a worker's name or of the column that holds it."""
    return "worker " + worker + " was not heard of for longer than its lease"
