"""A change of a job's state, and the event that tells of it: never one without the other."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert

from fornada.db.clock import now
from fornada.db.errors import WrongState
from fornada.db.states import LEGAL_MOVES, JobState
from fornada.db.store.tables import Event

Detail = Mapping[str, Any] | None
# Who does what nobody else did: expires leases, settles dependents.
UPKEEP = "upkeep"
# Built once, as the statements of `fornada.db.queue.fences` are.
_TOLD = insert(Event).values(at=now())
# An event is called as the new state, except where that would say too little.
_KINDS: Mapping[tuple[JobState | None, JobState], str] = {
    (None, JobState.QUEUED): "submitted",
    (None, JobState.HELD): "submitted",
    (JobState.QUEUED, JobState.RUNNING): "claimed",
    (JobState.RUNNING, JobState.QUEUED): "requeued",
    (JobState.HELD, JobState.QUEUED): "released",
    (JobState.FAILED, JobState.QUEUED): "retried",
    (JobState.CANCELLED, JobState.QUEUED): "retried",
}


def moved(
    connection: Connection,
    job_id: int,
    change: tuple[JobState | None, JobState],
    actor: str,
    detail: Detail = None,
) -> None:
    """Record a change of state that this transaction has made, or refuse it and so undo it.

    Args:
        change: the state before, None of a new job, and the state now.
        actor: who made it.
        detail: more for its event.
    Raises:
        WrongState: no such move is legal; nothing of the transaction remains.
    """
    tell(connection, job_id, _kind(job_id, change), actor, detail)


def begun(connection: Connection, jobs: Iterable[tuple[int, JobState, Detail]], actor: str) -> None:
    """Record that this transaction has made jobs; see `moved`.

    Args:
        jobs: id, state and detail of each.
    """
    rows = [
        _event(job_id, _kind(job_id, (None, state)), actor, detail)
        for job_id, state, detail in jobs
    ]
    if rows:
        connection.execute(_TOLD, rows)


def tell(connection: Connection, job_id: int, kind: str, actor: str, detail: Detail = None) -> None:
    """Record what happened to a job in the transaction that did it."""
    connection.execute(_TOLD, _event(job_id, kind, actor, detail))


def _event(job_id: int, kind: str, actor: str, detail: Detail) -> dict[str, Any]:
    return {"job_id": job_id, "kind": kind, "actor": actor, "detail": detail}


def _kind(job_id: int, change: tuple[JobState | None, JobState]) -> str:
    before, after = change
    if after not in LEGAL_MOVES[before]:
        raise WrongState(job_id, before or after, after)
    return _KINDS.get(change, after)
