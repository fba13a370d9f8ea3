"""Ends an attempt, and decides the next state of its job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Float, Row, bindparam, func, select, update

from fornada.db.clock import later, now
from fornada.db.errors import Fenced
from fornada.db.queue import dependents
from fornada.db.queue.fences import (
    FENCE_ATTEMPT,
    FENCE_HOLDS,
    FENCE_JOB,
    UPDATE_ATTEMPT,
    UPDATE_JOB,
    best_columns,
    fence_values,
    lock_job,
    write_attempt,
    write_job,
)
from fornada.db.queue.fleet import Fleet
from fornada.db.queue.moves import record_move
from fornada.db.queue.workers import WORKER_IS_GONE_S, heard_of
from fornada.db.records import ArtifactRow, Failure, Fence, Verdict
from fornada.db.states import AttemptOutcome, FailureCode, JobState, StopReason
from fornada.db.store.run_time import run_s
from fornada.db.store.session import Database
from fornada.db.store.tables import Artifact, Attempt, Epoch, Job
from fornada.db.store.upsert import upsert

# The job's state after each outcome of its attempt. An outcome that is retried leads to this state
# only when the job has no tries left.
STATE_AFTER: Mapping[AttemptOutcome, JobState] = {
    AttemptOutcome.SUCCEEDED: JobState.SUCCEEDED,
    AttemptOutcome.FAILED: JobState.FAILED,
    AttemptOutcome.CANCELLED: JobState.CANCELLED,
    AttemptOutcome.PREEMPTED: JobState.QUEUED,
    AttemptOutcome.CRASHED: JobState.FAILED,
    AttemptOutcome.LOST: JobState.FAILED,
    AttemptOutcome.TIMED_OUT: JobState.FAILED,
}
# Outcomes that are retried.
_RETRIED = frozenset({AttemptOutcome.CRASHED, AttemptOutcome.LOST})
# Failures that are retried too, because their cause is the host and not the spec.
HOST_FAILURES = frozenset({FailureCode.DISK_FULL, FailureCode.ARTIFACT_WRITE, FailureCode.HOST_OOM})
# The failure code of an attempt whose verdict has no failure.
_DEFAULT_CODES: Mapping[AttemptOutcome, FailureCode] = {
    AttemptOutcome.FAILED: FailureCode.INTERNAL,
    AttemptOutcome.CRASHED: FailureCode.CRASHED,
    AttemptOutcome.LOST: FailureCode.WORKER_LOST,
    AttemptOutcome.TIMED_OUT: FailureCode.TIME_LIMIT,
}

# Seconds of pause before the second attempt. Each further pause is `_GROWTH` times as long.
PAUSE_S = 10.0
_GROWTH = 4
# The longest pause in seconds. A fault that lasts longer needs a person to repair it.
_LONGEST_PAUSE_S = 600.0
# The exponent of `_GROWTH` stops here. The pause is the longest by then, and a larger exponent
# could overflow a float.
_LARGEST_EXPONENT = 20

# Built only once: see `fornada.db.queue.fences`.
_END_ATTEMPT = UPDATE_ATTEMPT.values(ended_at=now())
_END_JOB = UPDATE_JOB.values(finished_at=now(), duration_s=run_s())
_PAUSE_S = bindparam("pause_s", type_=Float())
# A null pause makes `not_before` null.
_REQUEUE_JOB = UPDATE_JOB.values(not_before=later(now(), _PAUSE_S))
_HAS_STARTED = select(Attempt.c.number).where(
    Attempt.c.job_id == FENCE_JOB,
    Attempt.c.number == FENCE_ATTEMPT,
    Attempt.c.started_at.is_not(None),
)
_FORGET_BEST = update(Job).where(FENCE_HOLDS, _HAS_STARTED.exists()).values(best_columns(None))


@dataclass(frozen=True)
class _NextState:
    """The next state of a job, decided while its row is locked."""

    state: JobState
    # Values by column, and `pause_s` for a job that goes back to its queue.
    values: Mapping[str, Any]
    # More facts for the event.
    detail: Mapping[str, Any]


def finish(
    database: Database, fence: Fence, verdict: Verdict, *, pause_s: float = PAUSE_S
) -> JobState:
    """End an attempt. Its job ends too, or goes back to its queue.

    The job goes back to its queue after a preemption. It goes back after a pause when the attempt
    crashed, was lost, or failed because of its host, if the job has tries left; and after every
    failure that does not count as a try.

    If a person has cancelled the job before, the job ends as cancelled, whatever the verdict. To be
    sure of that, `finish` locks the job's row before it reads it. The best model, artifacts and
    test result are recorded all the same.

    A verdict without a best model removes the best model that the attempt's epochs reported,
    because its file does not exist.

    Args:
        database: where the job is.
        fence: the attempt.
        verdict: how it ended.
        pause_s: seconds of pause before the second attempt; each further pause is four times as
            long.
    Returns:
        The job's state now. A caller that got no answer may repeat the call: the same verdict
        again changes nothing and returns the same state.
    Raises:
        Fenced: the attempt no longer holds the job, or has ended with another outcome.
    """
    with database.begin() as connection:
        if verdict.best is None:
            _forget_best(connection, fence)
        try:
            return end(connection, fence, verdict, pause_s=pause_s)
        except Fenced:
            state = _state_after_same_verdict(connection, fence, verdict.outcome)
            if state is None:
                raise
            return state


def end(  # noqa: PLR0913 - each is a fact of the end
    connection: Connection,
    fence: Fence,
    verdict: Verdict,
    *,
    pause_s: float,
    actor: str | None = None,
    elsewhere: bool = True,
) -> JobState:
    """End an attempt in the caller's transaction; see `finish`.

    Args:
        connection: the transaction.
        fence: the attempt.
        verdict: how it ended.
        pause_s: as in `finish`.
        actor: who ends the attempt; None for its worker.
        elsewhere: the next attempt avoids this host; if false, only where another living host could
            run the job.
    """
    job = lock_job(connection, fence)
    failure = _failure(verdict)
    last_sign = _last_sign(connection, job) if verdict.outcome is AttemptOutcome.LOST else {}
    attempt = write_attempt(
        connection,
        fence,
        UPDATE_ATTEMPT if last_sign else _END_ATTEMPT,
        **last_sign,
        outcome=verdict.outcome,
        exit_status=verdict.exit_status,
        failure_code=failure.code if failure else None,
        failure_message=failure.message if failure else None,
        traceback=failure.traceback if failure else None,
    )
    _record_artifacts(connection, fence, verdict.artifacts)
    avoided = attempt.host if elsewhere else _avoided(connection, job, attempt.host)
    next_state = _decide(job, verdict, failure, (attempt.host, avoided), pause_s)
    results = best_columns(verdict.best) if verdict.best else {}
    if verdict.test is not None:
        results["test"] = verdict.test
    values = {"lease_until": None, "lease_s": None, **next_state.values, **results}
    write_job(connection, fence, _END_JOB if next_state.state.final else _REQUEUE_JOB, **values)
    change = (JobState.RUNNING, next_state.state)
    detail = {"attempt": fence.attempt, "outcome": verdict.outcome, **next_state.detail}
    record_move(connection, job.id, change, actor or attempt.worker, detail)
    if next_state.state.final:
        dependents.settle(connection, job.id)
    return next_state.state


def _last_sign(connection: Connection, job: Row[Any]) -> dict[str, datetime]:
    """When a lost attempt ended, as `ended_at`: nobody saw it, so when it last gave a sign.

    It gives one when it renews its lease, and it trained at least as long as its epochs took. Empty
    if no sign is known.
    """
    if job.lease_until is None or job.lease_s is None:
        return {}
    signs = [job.lease_until - timedelta(seconds=job.lease_s)]
    of_attempt = (Attempt.c.job_id == job.id, Attempt.c.number == job.attempt)
    if (started := connection.scalar(select(Attempt.c.started_at).where(*of_attempt))) is not None:
        of_epochs = (Epoch.c.job_id == job.id, Epoch.c.attempt == job.attempt)
        trained_s = connection.scalar(select(func.sum(Epoch.c.seconds)).where(*of_epochs))
        signs.append(started + timedelta(seconds=trained_s or 0.0))
    return {"ended_at": max(signs)}


def _avoided(connection: Connection, job: Row[Any], host: str) -> str | None:
    """The host, if the job should avoid it; None if no other living host could run the job."""
    living = heard_of(connection, WORKER_IS_GONE_S)
    others = Fleet.taking(worker for worker in living if worker.host != host)
    return host if others.fitting(job.queue, job.gpus) else None


def _decide(
    job: Row[Any],
    verdict: Verdict,
    failure: Failure | None,
    where: tuple[str, str | None],
    pause_s: float,
) -> _NextState:
    """The next state of a job.

    Args:
        job: its row.
        verdict: how its attempt ended.
        failure: of the attempt.
        where: the host of the attempt, and the host that the next attempt should avoid.
        pause_s: as in `finish`.
    """
    host, avoided = where
    if job.cancel_requested_at is not None:
        values = _final_values(JobState.CANCELLED, StopReason.CANCELLED)
        asked = {"by": job.cancel_requested_by, "reason": job.cancel_reason}
        return _NextState(JobState.CANCELLED, values, asked)
    why = {"code": failure.code, "message": failure.message} if failure else {}
    if _is_retried(verdict, failure):
        tries = job.tries + (1 if verdict.counts else 0)
        counted = {"tries": tries, "avoid_host": avoided}
        why |= {"host": host, "tries": tries, "retry_attempts": job.retry_attempts}
        if tries < job.retry_attempts or not verdict.counts:
            wait_s = pause_after(max(1, tries), pause_s)
            values = _queued_values(pause_s=wait_s) | counted
            detail = why | {"pause_s": wait_s, "avoid_host": avoided}
            return _NextState(JobState.QUEUED, values, detail)
        values = _final_values(JobState.FAILED, verdict.stop_reason, failure) | counted
        return _NextState(JobState.FAILED, values, why)
    state = STATE_AFTER[verdict.outcome]
    if state.final:
        return _NextState(state, _final_values(state, verdict.stop_reason, failure), why)
    return _NextState(state, _queued_values(pause_s=None), why)


def pause_after(tries: int, pause_s: float) -> float:
    """Seconds that a job waits after `tries` failed tries, 1 or more.

    >>> [pause_after(tries, 10.0) for tries in (1, 2, 3, 4, 1000)]
    [10.0, 40.0, 160.0, 600.0, 600.0]
    """
    grown: float = pause_s * _GROWTH ** min(tries - 1, _LARGEST_EXPONENT)
    return min(_LONGEST_PAUSE_S, grown)


def _is_retried(verdict: Verdict, failure: Failure | None) -> bool:
    if verdict.outcome is AttemptOutcome.FAILED:
        of_host = failure is not None and failure.code in HOST_FAILURES
        return of_host or not verdict.counts
    return verdict.outcome in _RETRIED


def _final_values(
    state: JobState, stop_reason: StopReason | None, failure: Failure | None = None
) -> dict[str, Any]:
    # `worker` and `slot` keep their values, so that people see where the job ran.
    return {
        "state": state,
        "stop_reason": stop_reason,
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
    }


def _queued_values(*, pause_s: float | None) -> dict[str, Any]:
    # A queued job runs nowhere, and has not failed: only its attempt has, and keeps the failure.
    cleared = ("stop_reason", "failure_code", "failure_message", "started_at", "worker", "slot")
    return {"state": JobState.QUEUED, "pause_s": pause_s} | dict.fromkeys(cleared)


def _state_after_same_verdict(
    connection: Connection, fence: Fence, outcome: AttemptOutcome
) -> JobState | None:
    """The job's state after its attempt ended with this outcome; None when it did not."""
    wanted = (
        select(Attempt.c.outcome, Job.c.state, Job.c.attempt)
        .join(Job, Job.c.id == Attempt.c.job_id)
        .where(Attempt.c.job_id == fence.job_id, Attempt.c.number == fence.attempt)
    )
    row = connection.execute(wanted).one_or_none()
    if row is None or row.outcome != outcome:
        return None
    state: JobState = row.state
    # A later attempt exists, so the job went back to its queue after this attempt.
    return state if row.attempt == fence.attempt else JobState.QUEUED


def _forget_best(connection: Connection, fence: Fence) -> None:
    """Remove the job's best model, if the attempt has started.

    Once the attempt has started, the best model is a file in its folder: the attempt trained it, or
    copied it from a training state. Before that, the best model is an earlier attempt's and stays.
    """
    connection.execute(_FORGET_BEST, fence_values(fence))


def _failure(verdict: Verdict) -> Failure | None:
    code = _DEFAULT_CODES.get(verdict.outcome)
    if verdict.failure or code is None:
        return verdict.failure
    return Failure(code, f"the attempt ended as {verdict.outcome}")


def _record_artifacts(
    connection: Connection, fence: Fence, artifacts: Sequence[ArtifactRow]
) -> None:
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
