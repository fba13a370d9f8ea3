"""How an attempt ends, and what becomes of its job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, Row, bindparam, select, update

from fornada.db.clock import later, now, seconds_between
from fornada.db.errors import Fenced
from fornada.db.queue import dependents
from fornada.db.queue.fences import (
    ATTEMPT,
    FENCE_ATTEMPT,
    FENCE_JOB,
    HOLDS,
    JOB,
    best_columns,
    lock_job,
    named,
    write_attempt,
    write_job,
)
from fornada.db.queue.moves import moved
from fornada.db.records import ArtifactRow, Failure, Fence, Verdict
from fornada.db.states import AttemptOutcome, FailureCode, JobState, StopReason
from fornada.db.store.session import Database
from fornada.db.store.tables import Artifact, Attempt, Job
from fornada.db.store.upsert import upsert

# What becomes of a job when its attempt ends so; of some, only once it has no try left.
STATE_AFTER: Mapping[AttemptOutcome, JobState] = {
    AttemptOutcome.SUCCEEDED: JobState.SUCCEEDED,
    AttemptOutcome.FAILED: JobState.FAILED,
    AttemptOutcome.CANCELLED: JobState.CANCELLED,
    AttemptOutcome.PREEMPTED: JobState.QUEUED,
    AttemptOutcome.CRASHED: JobState.FAILED,
    AttemptOutcome.LOST: JobState.FAILED,
    AttemptOutcome.TIMED_OUT: JobState.FAILED,
}
# Ends that are tried again, and the codes of those failures that are the host's and not the spec's.
_TRIED_AGAIN = frozenset({AttemptOutcome.CRASHED, AttemptOutcome.LOST})
_HOSTS_FAULT = frozenset({FailureCode.DISK_FULL, FailureCode.ARTIFACT_WRITE, FailureCode.HOST_OOM})
# The code of a failure that came without one.
_CODE_OF: Mapping[AttemptOutcome, FailureCode] = {
    AttemptOutcome.FAILED: FailureCode.INTERNAL,
    AttemptOutcome.CRASHED: FailureCode.CRASHED,
    AttemptOutcome.LOST: FailureCode.WORKER_LOST,
    AttemptOutcome.TIMED_OUT: FailureCode.TIME_LIMIT,
}

# Before the second attempt; each further pause is so many times as long as the one before, up to
# a limit at which whatever was wrong has been mended or will not be.
PAUSE_S = 10.0
_GROWTH = 4
_LONGEST_PAUSE_S = 600.0
# From here on every pause is the longest, whatever it began with.
_ENOUGH_GROWTH = 20

# Built once, as the statements of `fornada.db.queue.fences` are.
_ENDED = ATTEMPT.values(ended_at=now())
_OVER = JOB.values(finished_at=now(), duration_s=seconds_between(Job.started_at, now()))
_PAUSE_S = bindparam("pause_s", type_=Float())
# Without a pause the time is null.
_WAITS = JOB.values(not_before=later(now(), _PAUSE_S))
_BEGUN = select(Attempt.number).where(
    Attempt.job_id == FENCE_JOB, Attempt.number == FENCE_ATTEMPT, Attempt.started_at.is_not(None)
)
_FORGOTTEN = update(Job).where(HOLDS, _BEGUN.exists()).values(best_columns(None))


@dataclass(frozen=True)
class _End:
    """What becomes of a job, decided under its lock."""

    state: JobState
    # By column; of one that waits again also `pause_s`.
    values: Mapping[str, Any]
    # For the event.
    detail: Mapping[str, Any]


def finish(
    database: Database, fence: Fence, verdict: Verdict, *, pause_s: float = PAUSE_S
) -> JobState:
    """End an attempt, and the job with it unless it goes back to its queue.

    A crash, and a failure that is the host's, is tried again after a pause, while the job has
    tries left. A cancel that was accepted before wins: the row is locked first, and what it then
    says is what counts. Best model, artifacts and test result are recorded all the same.
    A verdict without a best model takes back the one that the attempt's epochs reported: its file
    is not there.

    Args:
        pause_s: before the second attempt; later ones wait four times as long each.
    Returns:
        The job's state now: what everybody is to report. The same verdict again, from whoever
        did not hear the answer to the first, changes nothing.
    Raises:
        Fenced: the attempt no longer holds the job; also when it has ended otherwise.
    """
    with database.begin() as connection:
        if verdict.best is None:
            _forget_best(connection, fence)
        try:
            return end(connection, fence, verdict, pause_s=pause_s)
        except Fenced:
            known = _ended_as(connection, fence, verdict.outcome)
            if known is None:
                raise
            return known


def end(
    connection: Connection,
    fence: Fence,
    verdict: Verdict,
    *,
    pause_s: float,
    actor: str | None = None,
) -> JobState:
    """End an attempt in a transaction; see `finish`.

    Args:
        actor: who says so; None for the attempt's worker.
    """
    job = lock_job(connection, fence)
    failure = _failure(verdict)
    attempt = write_attempt(
        connection,
        fence,
        _ENDED,
        outcome=verdict.outcome,
        exit_status=verdict.exit_status,
        failure_code=failure.code if failure else None,
        failure_message=failure.message if failure else None,
        traceback=failure.traceback if failure else None,
    )
    _artifacts(connection, fence, verdict.artifacts)
    ended = _decide(job, verdict, failure, attempt.host, pause_s)
    left = best_columns(verdict.best) if verdict.best else {}
    if verdict.test is not None:
        left["test"] = verdict.test
    values = {"lease_until": None, "lease_s": None, **ended.values, **left}
    write_job(connection, fence, _OVER if ended.state.final else _WAITS, **values)
    change = (JobState.RUNNING, ended.state)
    detail = {"attempt": fence.attempt, "outcome": verdict.outcome, **ended.detail}
    moved(connection, job.id, change, actor or attempt.worker, detail)
    if ended.state.final:
        dependents.settle(connection, job.id)
    return ended.state


def _decide(
    job: Row[Any], verdict: Verdict, failure: Failure | None, host: str, pause_s: float
) -> _End:
    if job.cancel_requested_at is not None:
        asked = {"by": job.cancel_requested_by, "reason": job.cancel_reason}
        return _End(JobState.CANCELLED, _final(JobState.CANCELLED, StopReason.CANCELLED), asked)
    why = {"code": failure.code, "message": failure.message} if failure else {}
    if _again(verdict.outcome, failure):
        tries = job.tries + 1
        counted = {"tries": tries, "avoid_host": host}
        why |= {"host": host, "tries": tries, "retry_attempts": job.retry_attempts}
        if tries < job.retry_attempts:
            wait_s = pause_after(tries, pause_s)
            waiting = _waiting(pause_s=wait_s) | counted
            return _End(JobState.QUEUED, waiting, why | {"pause_s": wait_s, "avoid_host": host})
        final = _final(JobState.FAILED, verdict.stop_reason, failure) | counted
        return _End(JobState.FAILED, final, why)
    state = STATE_AFTER[verdict.outcome]
    if state.final:
        return _End(state, _final(state, verdict.stop_reason, failure), why)
    return _End(state, _waiting(pause_s=None), why)


def pause_after(tries: int, pause_s: float) -> float:
    """How long a job waits after so many tries, 1 or more.

    >>> [pause_after(tries, 10.0) for tries in (1, 2, 3, 4, 1000)]
    [10.0, 40.0, 160.0, 600.0, 600.0]
    """
    grown: float = pause_s * _GROWTH ** min(tries - 1, _ENOUGH_GROWTH)
    return min(_LONGEST_PAUSE_S, grown)


def _again(outcome: AttemptOutcome, failure: Failure | None) -> bool:
    if outcome in _TRIED_AGAIN:
        return True
    return outcome is AttemptOutcome.FAILED and failure is not None and failure.code in _HOSTS_FAULT


def _final(
    state: JobState, stop_reason: StopReason | None, failure: Failure | None = None
) -> dict[str, Any]:
    # A job that is over keeps where it ran.
    return {
        "state": state,
        "stop_reason": stop_reason,
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
    }


def _waiting(*, pause_s: float | None) -> dict[str, Any]:
    # A job that waits again has nowhere, and what failed is the attempt's alone.
    nothing = ("stop_reason", "failure_code", "failure_message", "started_at", "worker", "slot")
    return {"state": JobState.QUEUED, "pause_s": pause_s} | dict.fromkeys(nothing)


def _ended_as(connection: Connection, fence: Fence, outcome: AttemptOutcome) -> JobState | None:
    """What the job became when its attempt ended just so; None when it did not."""
    wanted = (
        select(Attempt.outcome, Job.state, Job.attempt)
        .join(Job, Job.id == Attempt.job_id)
        .where(Attempt.job_id == fence.job_id, Attempt.number == fence.attempt)
    )
    row = connection.execute(wanted).one_or_none()
    if row is None or row.outcome != outcome:
        return None
    state: JobState = row.state
    # A job with a later attempt went back to its queue after this one.
    return state if row.attempt == fence.attempt else JobState.QUEUED


def _forget_best(connection: Connection, fence: Fence) -> None:
    """Forget the live best model of an attempt that did not leave one; not an earlier one's.

    From its start on the job's best lies in the folder of the attempt: trained there, or restored.
    """
    connection.execute(_FORGOTTEN, named(fence))


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
