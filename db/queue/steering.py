"""What people do to a job."""

from typing import Any

from sqlalchemy import Connection, Row, select, update

from fornada.db.clock import now
from fornada.db.errors import JobNotFound, WrongState
from fornada.db.queue import dependents
from fornada.db.queue.fences import QUEUED
from fornada.db.queue.moves import moved, tell
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job

# What it needs to know of the job.
_KNOWN = tuple(
    Job.__table__.c[name]
    for name in (
        *("id", "state", "queue", "priority", "attempt", "held_by"),
        *("cancel_requested_at", "cancel_grace_s"),
    )
)
# Of the column.
_LEAST = -(2**31)
# Of a job that a person starts again: as if it had never ended.
_ANEW = (
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
    """Cancel a job: at once while it waits; a running one is asked to stop.

    A cancel that was accepted wins over whatever the attempt reports afterwards. Jobs that wait
    for this one to succeed are cancelled with it.

    Args:
        grace_s: how long the trainer may take to stop; 0 to kill it at once, None for the
            worker's own. Asked again, the shorter one counts.
    Returns:
        The state now: `cancelled`, or `running` until the attempt has ended.
    Raises:
        JobNotFound: no job has this id.
        WrongState: it ended otherwise. To cancel a cancelled job is no error.
    """
    with database.begin() as connection:
        job = locked(connection, job_id)
        if job.state is JobState.RUNNING:
            _ask(connection, job, actor, reason, grace_s)
            return JobState.RUNNING
        if job.state is JobState.CANCELLED:
            return JobState.CANCELLED
        if job.state.final:
            raise WrongState(job_id, job.state, JobState.CANCELLED)
        dependents.call_off(connection, job_id, job.state, actor, reason)
        dependents.settle(connection, job_id)
        return JobState.CANCELLED


def hold(database: Database, job_id: int, actor: str) -> JobState:
    """Keep a job from starting until it is released; to hold a held job again changes nothing.

    Raises:
        JobNotFound: no job has this id.
        WrongState: it runs, or has ended.
    """
    with database.begin() as connection:
        job = locked(connection, job_id)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            raise WrongState(job_id, job.state, JobState.HELD, "only a job that waits can be held")
        if job.held_by is not None:
            return JobState.HELD
        _write(connection, job_id, state=JobState.HELD, held_by=actor)
        if job.state is JobState.QUEUED:
            moved(connection, job_id, (JobState.QUEUED, JobState.HELD), actor)
        else:
            tell(connection, job_id, "held", actor)
        return JobState.HELD


def release(database: Database, job_id: int, actor: str) -> JobState:
    """Let a held job start, unless it waits for others; then it stays held until they ended.

    To release a queued job changes nothing.

    Returns:
        The state now: `queued`, or `held`.
    Raises:
        JobNotFound: no job has this id.
        WrongState: it runs, or has ended.
    """
    with database.begin() as connection:
        job = locked(connection, job_id)
        if job.state is JobState.QUEUED:
            return JobState.QUEUED
        if job.state is not JobState.HELD:
            raise WrongState(job_id, job.state, JobState.QUEUED, "only a held job can be released")
        unmet = dependents.unmet_of(connection, [job_id]).get(job_id)
        if not unmet:
            _write(connection, job_id, state=JobState.QUEUED, held_by=None)
            moved(connection, job_id, (JobState.HELD, JobState.QUEUED), actor)
            return JobState.QUEUED
        if job.held_by is not None:
            _write(connection, job_id, held_by=None)
            tell(connection, job_id, "released", actor, {"waits_for": unmet})
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
    """Give a job that waits another priority, or another queue.

    Args:
        priority: higher starts earlier.
        top: a priority above that of all others in its queue.
    Raises:
        JobNotFound: no job has this id.
        WrongState: it runs, or has ended.
    """
    with database.begin() as connection:
        job = locked(connection, job_id)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            because = "only a job that waits can be moved"
            raise WrongState(job_id, job.state, JobState.QUEUED, because)
        there = job.queue if queue is None else queue
        wanted = job.priority if priority is None else priority
        if top:
            wanted = max(wanted, _above(connection, job_id, there))
        new = {"queue": there, "priority": wanted}
        changed = {name: value for name, value in new.items() if value != getattr(job, name)}
        if not changed:
            return
        _write(connection, job_id, **changed)
        detail = {name: {"from": getattr(job, name), "to": new[name]} for name in changed}
        tell(connection, job_id, "moved", actor, detail | ({"top": True} if top else {}))


def retry(database: Database, job_id: int, actor: str, *, fresh: bool = False) -> JobState:
    """Start a job again that failed or was cancelled, from its last training state.

    It waits again for what it depends on, but no longer for a job to succeed that did not.

    Args:
        fresh: from nothing.
    Returns:
        The state now: `queued`, or `held` while it waits for others.
    Raises:
        JobNotFound: no job has this id.
        WrongState: it has succeeded, or has not ended.
    """
    with database.begin() as connection:
        job = locked(connection, job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            because = "only a job that failed or was cancelled can be retried"
            raise WrongState(job_id, job.state, JobState.QUEUED, because)
        # None of them ends while we look: who ends one looks for jobs that are held, not for us.
        dependents.keep_needs(connection, job_id)
        waived = dependents.waive_failed(connection, job_id)
        values: dict[str, Any] = dict.fromkeys(_ANEW)
        values |= {"state": JobState.QUEUED, "tries": 0}
        if fresh:
            values["resume_after"] = job.attempt
        _write(connection, job_id, **values)
        detail: dict[str, Any] = {"fresh": fresh} | ({"waived": waived} if waived else {})
        moved(connection, job_id, (job.state, JobState.QUEUED), actor, detail)
        unmet = dependents.unmet_of(connection, [job_id]).get(job_id)
        if not unmet:
            return JobState.QUEUED
        _write(connection, job_id, state=JobState.HELD)
        moved(connection, job_id, (JobState.QUEUED, JobState.HELD), actor, {"waits_for": unmet})
        return JobState.HELD


def locked(connection: Connection, job_id: int) -> Row[Any]:
    """A job as it is, which nobody else changes until this transaction ends.

    Raises:
        JobNotFound: no job has this id.
    """
    wanted = select(*_KNOWN).where(Job.id == job_id).with_for_update()
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return row


def _ask(
    connection: Connection, job: Row[Any], actor: str, reason: str | None, grace_s: float | None
) -> None:
    """Ask the attempt of a running job to stop; again only if it is to be faster."""
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
    told = {name: value for name, value in detail.items() if value is not None}
    tell(connection, job.id, "cancel_requested", actor, told or None)


def _above(connection: Connection, job_id: int, queue: str) -> int:
    """A priority that puts a job before all others that are queued there."""
    others = [Job.state == QUEUED, Job.queue == queue, Job.id != job_id]
    best = select(Job.priority, Job.id).where(*others).order_by(Job.priority.desc(), Job.id)
    first = connection.execute(best.limit(1)).one_or_none()
    if first is None:
        return _LEAST
    before: bool = job_id < first.id
    return int(first.priority) + (0 if before else 1)


def _write(connection: Connection, job_id: int, **values: Any) -> None:
    connection.execute(update(Job).where(Job.id == job_id).values(values))
