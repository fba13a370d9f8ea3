"""Records the event of each change of a job's state, in the transaction that changes the state."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert

from fornada.db.clock import now
from fornada.db.errors import WrongState
from fornada.db.states import LEGAL_MOVES, JobState
from fornada.db.store.tables import Event

Detail = Mapping[str, Any] | None
# The actor of the events that upkeep causes, for example when it ends an attempt whose lease ran
# out.
UPKEEP = "upkeep"
# Built only once: see `fornada.db.queue.fences`.
_INSERT_EVENT = insert(Event).values(at=now())
RETRIED = "retried"
# The kind of an event is the new state, except for these moves, where it would be unclear.
_KINDS: Mapping[tuple[JobState | None, JobState], str] = {
    (None, JobState.QUEUED): "submitted",
    (None, JobState.HELD): "submitted",
    (JobState.QUEUED, JobState.RUNNING): "claimed",
    (JobState.RUNNING, JobState.QUEUED): "requeued",
    (JobState.HELD, JobState.QUEUED): "released",
    (JobState.FAILED, JobState.QUEUED): RETRIED,
    (JobState.CANCELLED, JobState.QUEUED): RETRIED,
}


def record_move(
    connection: Connection,
    job_id: int,
    change: tuple[JobState | None, JobState],
    actor: str,
    detail: Detail = None,
) -> None:
    """Record the event of a state change that this transaction has made.

    Args:
        connection: the transaction.
        job_id: the job.
        change: the state before (None for a new job) and the state now.
        actor: who changed the state.
        detail: more facts for the event.
    Raises:
        WrongState: the move is not legal. The exception rolls the transaction back.
    """
    record_event(connection, job_id, _kind(job_id, change), actor, detail)


def record_new_jobs(
    connection: Connection, jobs: Iterable[tuple[int, JobState, Detail]], actor: str
) -> None:
    """Record the events of jobs that this transaction has added; see `record_move`.

    Args:
        connection: the transaction.
        jobs: id, state and event detail of each job.
        actor: who added the jobs.
    """
    rows = [
        _event(job_id, _kind(job_id, (None, state)), actor, detail)
        for job_id, state, detail in jobs
    ]
    if rows:
        connection.execute(_INSERT_EVENT, rows)


def record_event(
    connection: Connection, job_id: int, kind: str, actor: str, detail: Detail = None
) -> None:
    """Record an event that changes no state, in the transaction that caused it."""
    connection.execute(_INSERT_EVENT, _event(job_id, kind, actor, detail))


def _event(job_id: int, kind: str, actor: str, detail: Detail) -> dict[str, Any]:
    return {"job_id": job_id, "kind": kind, "actor": actor, "detail": detail}


def _kind(job_id: int, change: tuple[JobState | None, JobState]) -> str:
    before, after = change
    if after not in LEGAL_MOVES[before]:
        raise WrongState(job_id, before or after, after)
    return _KINDS.get(change, after)
