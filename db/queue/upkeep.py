"""Chooses the worker that does the upkeep, and counts the jobs for which workers should wake up.

Upkeep is the work that one worker does for all: it ends lost attempts, settles waiting jobs,
deletes old logs and wakes idle workers.
"""

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

# The id of the table's only row.
_ROW = 1
# Most jobs to count in one queue. No site has more slots to wake up, and counting a long queue to
# its end would be slow.
MOST = 1000


def take(database: Database, holder: str, ttl_s: float) -> bool:
    """Ask to do the upkeep until the next beat. Every worker asks at each of its beats.

    If no worker has asked for `ttl_s`, then no worker could reach the database, or none was
    running. `expire_leases` then waits for one full lease, so that every attempt can renew its
    lease first.

    Args:
        database: the database that all workers share.
        holder: the worker that asks.
        ttl_s: seconds after which another worker takes over, if the holder does not ask again; two
            or three beats.
    Returns:
        Whether `holder` must do the upkeep now.
    """
    with database.begin() as connection:
        first = {"id": _ROW, "holder": holder, "held_until": later(now(), ttl_s), "beat_at": now()}
        may_take = or_(UpkeepTurn.c.holder == holder, UpkeepTurn.c.held_until < now())
        after_gap = UpkeepTurn.c.beat_at < later(now(), -ttl_s)
        taken = (
            insert_for(connection.dialect.name, UpkeepTurn)
            .values(first)
            .on_conflict_do_update(
                index_elements=["id"],
                set_={
                    "holder": _if(may_take, holder, UpkeepTurn.c.holder),
                    "held_until": _if(may_take, later(now(), ttl_s), UpkeepTurn.c.held_until),
                    "beat_at": now(),
                    "resumed_at": _if(after_gap, now(), UpkeepTurn.c.resumed_at),
                },
            )
            .returning(UpkeepTurn.c.holder)
        )
        return bool(connection.scalar(taken) == holder)


def claimable(database: Database) -> dict[str, int]:
    """How many jobs could be claimed now, by queue, without the queues that have no such job.

    No job of a paused queue counts. In a queue with a limit, no more jobs count than the limit
    still lets start. No count is greater than `MOST`.
    """
    with database.read() as connection:
        names = list(connection.scalars(queues.waiting()))
        room = queues.room(connection, names)
        counts = {name: _count(connection, name, room.get(name, MOST)) for name in names}
    return {name: count for name, count in counts.items() if count}


def ready_in(queue: str, most: int) -> list[Select[int]]:
    """Two queries for the jobs of a queue that could be claimed now; each one reads its own index.

    The first query is for jobs without `not_before`, the second one for jobs whose `not_before` is
    over.
    """
    of_queue = select(Job.c.id).where(Job.c.queue == queue).limit(most)
    return [of_queue.where(AT_ONCE), of_queue.where(TIME_HAS_COME)]


def _count(connection: Connection, queue: str, room: int) -> int:
    most = min(room, MOST)
    parts = [select(part.subquery()) for part in ready_in(queue, most)]
    counted = select(func.count()).select_from(union_all(*parts).limit(most).subquery())
    return int(connection.scalar(counted) or 0)


def _if(condition: ColumnElement[bool], then: Any, otherwise: Any) -> Any:
    return case((condition, then), else_=otherwise)
