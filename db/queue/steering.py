"""What people do to a job: cancel, hold, release, move and retry it."""

from typing import Any

from sqlalchemy import Connection, Row, select, update

from fornada.db.clock import now
from fornada.db.errors import JobNotFound, WrongState
from fornada.db.queue import dependents
from fornada.db.queue.fences import QUEUED
from fornada.db.queue.moves import record_event, record_move
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job

# The columns that `_locked_job` returns.
_RETURNED = tuple(
    Job.c[name]
    for name in (
        *("id", "state", "queue", "priority", "attempt", "held_by"),
        *("cancel_requested_at", "cancel_grace_s"),
    )
)
# The smallest value of the priority column, a 32-bit integer, and its greatest.
_LOWEST_PRIORITY, _HIGHEST_PRIORITY = -(2**31), 2**31 - 1
# The columns that a retry sets to null, so that the job looks as if it had never ended.
_RETRY_CLEARS = (
    *("cancel_requested_at", "cancel_requested_by", "cancel_reason", "cancel_grace_s"),
    *("failure_code", "failure_message", "stop_reason", "not_before", "avoid_host", "held_by"),
    *("started_at", "finished_at", "duration_s", "worker", "slot"),
)


def cancel(
    database: Database,
    job_id: int,
    actor: str,
    reason: str | None = None,
    *,
    grace_s: float | None = None,
) -> JobState:
    """Cancel a job. A waiting job is cancelled at once; a running job is asked to stop.

    After this call the job ends as cancelled, whatever its attempt reports later. Jobs that wait
    for this job to succeed are cancelled too.

    Args:
        database: where the job is.
        job_id: the job.
        actor: who cancels it.
        reason: why, for other people.
        grace_s: seconds that the trainer may take to stop; 0 kills it at once, None is the worker's
            default. After several calls the shortest time counts.
    Returns:
        The state now: `cancelled`, or `running` until the attempt has ended.
    Raises:
        JobNotFound: no job has this id.
        WrongState: the job has succeeded or failed. Cancelling a cancelled job is not an error.
    """
    with database.begin() as connection:
        job = _locked_job(connection, job_id)
        if job.state is JobState.RUNNING:
            _ask_to_stop(connection, job, actor, reason, grace_s)
            return JobState.RUNNING
        if job.state is JobState.CANCELLED:
            return JobState.CANCELLED
        if job.state.final:
            raise WrongState(job_id, job.state, JobState.CANCELLED)
        dependents.cancel_waiting(connection, job_id, job.state, actor, reason)
        dependents.settle(connection, job_id)
        return JobState.CANCELLED


def hold(database: Database, job_id: int, actor: str) -> JobState:
    """Keep a job from starting until a person releases it. Holding it again changes nothing.

    Raises:
        JobNotFound: no job has this id.
        WrongState: the job runs or has ended.
    """
    with database.begin() as connection:
        job = _locked_job(connection, job_id)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            raise WrongState(job_id, job.state, JobState.HELD, "only a waiting job can be held")
        if job.held_by is not None:
            return JobState.HELD
        _write(connection, job_id, state=JobState.HELD, held_by=actor)
        if job.state is JobState.QUEUED:
            record_move(connection, job_id, (JobState.QUEUED, JobState.HELD), actor)
        else:
            record_event(connection, job_id, "held", actor)
        return JobState.HELD


def release(database: Database, job_id: int, actor: str) -> JobState:
    """Let a held job start. A job that waits for other jobs stays held until they have ended.

    Releasing a queued job changes nothing.

    Returns:
        The state now: `queued`, or `held` while the job waits for other jobs.
    Raises:
        JobNotFound: no job has this id.
        WrongState: the job runs or has ended.
    """
    with database.begin() as connection:
        job = _locked_job(connection, job_id)
        if job.state is JobState.QUEUED:
            return JobState.QUEUED
        if job.state is not JobState.HELD:
            raise WrongState(job_id, job.state, JobState.QUEUED, "only a held job can be released")
        unmet = dependents.unmet_of(connection, [job_id]).get(job_id)
        if not unmet:
            _write(connection, job_id, state=JobState.QUEUED, held_by=None)
            record_move(connection, job_id, (JobState.HELD, JobState.QUEUED), actor)
            return JobState.QUEUED
        if job.held_by is not None:
            _write(connection, job_id, held_by=None)
            record_event(connection, job_id, "released", actor, {"waits_for": unmet})
        return JobState.HELD


def move(  # noqa: PLR0913
    database: Database,
    job_id: int,
    actor: str,
    *,
    priority: int | None = None,
    queue: str | None = None,
    top: bool = False,
) -> None:
    """Change the priority or the queue of a waiting job.

    Args:
        database: where the job is.
        job_id: the job.
        actor: who moves it.
        priority: a job with a higher priority starts earlier; None keeps the priority.
        queue: None keeps the queue.
        top: raise the priority so that the job comes before all others in its queue.
    Raises:
        JobNotFound: no job has this id.
        WrongState: the job runs or has ended.
    """
    with database.begin() as connection:
        job = _locked_job(connection, job_id)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            because = "only a waiting job can be moved"
            raise WrongState(job_id, job.state, JobState.QUEUED, because)
        new_queue = job.queue if queue is None else queue
        new_priority = job.priority if priority is None else priority
        if top:
            new_priority = max(new_priority, _top_priority(connection, job_id, new_queue))
        new = {"queue": new_queue, "priority": new_priority}
        changed = {name: value for name, value in new.items() if value != getattr(job, name)}
        if not changed:
            return
        _write(connection, job_id, **changed)
        detail = {name: {"from": getattr(job, name), "to": new[name]} for name in changed}
        record_event(connection, job_id, "moved", actor, detail | ({"top": True} if top else {}))


def retry(database: Database, job_id: int, actor: str, *, fresh: bool = False) -> JobState:
    """Start a failed or cancelled job again, from its last training state.

    The job waits again for its dependencies. Dependencies that have failed or were cancelled are
    removed, because the job would wait for their success forever.

    Args:
        database: where the job is.
        job_id: the job.
        actor: who retries it.
        fresh: train from the start and not from a training state.
    Returns:
        The state now: `queued`, or `held` while the job waits for other jobs.
    Raises:
        JobNotFound: no job has this id.
        WrongState: the job has succeeded, or has not ended.
    """
    with database.begin() as connection:
        job = _locked_job(connection, job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            because = "only a failed or cancelled job can be retried"
            raise WrongState(job_id, job.state, JobState.QUEUED, because)
        # No dependency may end before this transaction does. The transaction that ends it would
        # look only for held jobs, would not see this job, and nobody would release it.
        dependents.lock_dependencies_of(connection, job_id)
        waived = dependents.waive_failed(connection, job_id)
        values: dict[str, Any] = dict.fromkeys(_RETRY_CLEARS)
        values |= {"state": JobState.QUEUED, "tries": 0}
        if fresh:
            values["resume_after"] = job.attempt
        _write(connection, job_id, **values)
        detail: dict[str, Any] = {"fresh": fresh} | ({"waived": waived} if waived else {})
        record_move(connection, job_id, (job.state, JobState.QUEUED), actor, detail)
        unmet = dependents.unmet_of(connection, [job_id]).get(job_id)
        if not unmet:
            return JobState.QUEUED
        _write(connection, job_id, state=JobState.HELD)
        record_move(
            connection, job_id, (JobState.QUEUED, JobState.HELD), actor, {"waits_for": unmet}
        )
        return JobState.HELD


def _locked_job(connection: Connection, job_id: int) -> Row[Any]:
    """Read a job and lock its row until this transaction ends.

    Raises:
        JobNotFound: no job has this id.
    """
    wanted = select(*_RETURNED).where(Job.c.id == job_id).with_for_update()
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return row


def _ask_to_stop(
    connection: Connection, job: Row[Any], actor: str, reason: str | None, grace_s: float | None
) -> None:
    """Ask the attempt of a running job to stop. A repeated request can only shorten `grace_s`."""
    asked: dict[str, Any] = {}
    if job.cancel_requested_at is None:
        asked = {
            "cancel_requested_at": now(),
            "cancel_requested_by": actor,
            "cancel_reason": reason,
        }
    faster = job.cancel_grace_s is None or (grace_s or 0.0) < job.cancel_grace_s
    if grace_s is not None and faster:
        asked["cancel_grace_s"] = grace_s
    if not asked:
        return
    _write(connection, job.id, **asked)
    detail = {"reason": reason, "grace_s": grace_s}
    known = {name: value for name, value in detail.items() if value is not None}
    record_event(connection, job.id, "cancel_requested", actor, known or None)


def _top_priority(connection: Connection, job_id: int, queue: str) -> int:
    """The lowest priority with which a job comes before all queued jobs of a queue."""
    others = [Job.c.state == QUEUED, Job.c.queue == queue, Job.c.id != job_id]
    best = select(Job.c.priority, Job.c.id).where(*others).order_by(Job.c.priority.desc(), Job.c.id)
    first = connection.execute(best.limit(1)).one_or_none()
    if first is None:
        return _LOWEST_PRIORITY
    # Among jobs with the same priority, the one with the smaller id comes first.
    is_older: bool = job_id < first.id
    return min(int(first.priority) + (0 if is_older else 1), _HIGHEST_PRIORITY)


def _write(connection: Connection, job_id: int, **values: Any) -> None:
    connection.execute(update(Job).where(Job.c.id == job_id).values(values))
