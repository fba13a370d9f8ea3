"""Who does the upkeep, and what there is to wake workers for."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select, union_all

from fornada.db.clock import later, now
from fornada.db.queue import queues
from fornada.db.queue.claims import AT_ONCE, TIME_HAS_COME
from fornada.db.queue.dependents import release_due
from fornada.db.queue.logs import forget_logs
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, UpkeepTurn
from fornada.db.store.upsert import insert_for

__all__ = ["claimable", "forget_logs", "release_due", "take"]

_ROW = 1
# More jobs than there are slots to wake for; to count on takes as long as the queue is.
MOST = 1000


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
        free = or_(UpkeepTurn.holder == holder, UpkeepTurn.held_until < now())
        silent = UpkeepTurn.beat_at < later(now(), -ttl_s)
        taken = (
            insert_for(connection.dialect.name, UpkeepTurn)
            .values(first)
            .on_conflict_do_update(
                index_elements=["id"],
                set_={
                    "holder": _if(free, holder, UpkeepTurn.holder),
                    "held_until": _if(free, later(now(), ttl_s), UpkeepTurn.held_until),
                    "beat_at": now(),
                    "resumed_at": _if(silent, now(), UpkeepTurn.resumed_at),
                },
            )
            .returning(UpkeepTurn.holder)
        )
        return bool(connection.scalar(taken) == holder)


def claimable(database: Database) -> dict[str, int]:
    """How many jobs could be claimed now, by queue; queues without any are left out.

    None of a queue that is paused, of one with a limit no more than may still start, and of none
    more than `MOST`.
    """
    with database.read() as connection:
        names = list(connection.scalars(queues.waiting()))
        room = queues.room(connection, names)
        could = {name: _count(connection, name, room.get(name, MOST)) for name in names}
    return {name: count for name, count in could.items() if count}


def ready_in(queue: str, most: int) -> list[Select[int]]:
    """Jobs of a queue that could be claimed now; of those that had to wait apart from the others.

    Each along an index of its own.
    """
    of_queue = select(Job.id).where(Job.queue == queue).limit(most)
    return [of_queue.where(AT_ONCE), of_queue.where(TIME_HAS_COME)]


def _count(connection: Connection, queue: str, room: int) -> int:
    most = min(room, MOST)
    parts = [select(part.subquery()) for part in ready_in(queue, most)]
    counted = select(func.count()).select_from(union_all(*parts).limit(most).subquery())
    return int(connection.scalar(counted) or 0)


def _if(condition: ColumnElement[bool], then: Any, otherwise: Any) -> Any:
    return case((condition, then), else_=otherwise)
