"""Who does the upkeep, and what there is to wake workers for."""

from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select

from db import queues
from db.claims import ready
from db.clock import later, now
from db.dependents import release_due
from db.logs import forget_logs
from db.session import Database
from db.tables import Job, Upkeep
from db.upsert import insert_for

__all__ = ["claimable", "forget_logs", "release_due", "take"]

_ROW = 1


def take(database: Database, holder: str, ttl_s: float) -> bool:
    """Ask to be the one that does the upkeep until the next beat; every worker asks at each.

    When nobody has asked for `ttl_s`, the database was away from all: `expire_leases` then
    waits for one full lease, so that those who could not renew can.

    Args:
        holder: who asks.
        ttl_s: how long the holder stays the one without asking again; two or three beats.
    Returns:
        Whether `holder` is the one.
    """
    with database.begin() as connection:
        first = {"id": _ROW, "holder": holder, "held_until": later(now(), ttl_s), "beat_at": now()}
        free = or_(Upkeep.holder == holder, Upkeep.held_until < now())
        silent = Upkeep.beat_at < later(now(), -ttl_s)
        taken = (
            insert_for(connection, Upkeep)
            .values(first)
            .on_conflict_do_update(
                index_elements=["id"],
                set_={
                    "holder": _if(free, holder, Upkeep.holder),
                    "held_until": _if(free, later(now(), ttl_s), Upkeep.held_until),
                    "beat_at": now(),
                    "resumed_at": _if(silent, now(), Upkeep.resumed_at),
                },
            )
            .returning(Upkeep.holder)
        )
        return bool(connection.scalar(taken) == holder)


def claimable(database: Database) -> dict[str, int]:
    """How many jobs could be claimed now, by queue; queues without any are left out.

    None of a queue that is paused, and of one with a limit no more than may still start.
    """
    with database.read() as connection:
        counted = select(Job.queue, func.count()).where(ready()).group_by(Job.queue)
        waiting: dict[str, int] = dict(connection.execute(counted).all())
        room = queues.room(connection, list(waiting))
    could = {queue: min(count, room.get(queue, count)) for queue, count in waiting.items()}
    return {queue: count for queue, count in could.items() if count}


def _if(condition: ColumnElement[bool], then: Any, otherwise: Any) -> Any:
    return case((condition, then), else_=otherwise)
