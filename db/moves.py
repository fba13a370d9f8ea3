"""A change of a job's state, and the event that tells of it: never one without the other."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from db.clock import now
from db.errors import WrongState
from db.states import LEGAL_MOVES, JobState
from db.tables import Event

Detail = Mapping[str, Any] | None
# Who does what nobody else did: expires leases, settles dependents.
UPKEEP = "upkeep"
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
    before, after = change
    if after not in LEGAL_MOVES[before]:
        raise WrongState(job_id, before or after, after)
    tell(connection, job_id, _KINDS.get(change, after), actor, detail)


def tell(connection: Connection, job_id: int, kind: str, actor: str, detail: Detail = None) -> None:
    """Record what happened to a job in the transaction that did it."""
    row = {"job_id": job_id, "at": now(), "kind": kind, "actor": actor, "detail": detail}
    connection.execute(insert(Event).values(row))
