"""Chooses the worker that does the upkeep, and counts the jobs for which workers should wake up.

Upkeep is the work that one worker does for all: it ends lost attempts, settles waiting jobs,
deletes old logs and wakes idle workers. Before that, it looks whether the clock was put back.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select, union_all, update

from fornada.db.clock import later, now, seconds_between
from fornada.db.queue import queues
from fornada.db.queue.claims import AT_ONCE, TIME_HAS_COME
from fornada.db.queue.dependents import release_due
from fornada.db.queue.fences import QUEUED, RUNNING
from fornada.db.queue.logs import forget_logs
from fornada.db.queue.verdicts import pause_after
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, UpkeepTurn, Worker
from fornada.db.store.upsert import insert_for

__all__ = ["claimable", "correct_clock", "forget_logs", "release_due", "take"]

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


def correct_clock(database: Database, *, more_than_s: float, pause_s: float) -> float | None:
    """Look whether the database's clock was put back, and bound what that would prolong.

    A time that was near before is then far in the future: the lease of a dead worker, the end of a
    pause, the turn to do the upkeep. Each has a longest possible distance from now. What lies
    beyond it is set to that distance, so nothing waits longer than if it had just begun. A time
    that a person has chosen, for the start of a job, stays as it is.

    The last beat of any worker tells it: it then lies in the future.

    Args:
        database: the database that all workers share.
        more_than_s: seconds that do not matter yet.
        pause_s: seconds of pause before the second attempt of a job.
    Returns:
        Seconds by which the clock was put back, as far as the beats show; None if it was not.
    """
    with database.read() as connection:
        if _ahead_s(connection) <= more_than_s:
            return None
    with database.begin() as connection:
        # Another worker may have corrected it since.
        ahead_s = _ahead_s(connection)
        if ahead_s <= more_than_s:
            return None
        _correct_leases(connection)
        _correct_pauses(connection, pause_s)
        _correct_workers(connection)
        # As after an outage: nothing expires for one lease, and any worker may do the upkeep.
        fresh = {"beat_at": now(), "held_until": now(), "resumed_at": now()}
        connection.execute(update(UpkeepTurn).values(fresh))
        return ahead_s


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


def _ahead_s(connection: Connection) -> float:
    return connection.scalar(select(seconds_between(now(), UpkeepTurn.c.beat_at))) or 0.0


def _correct_leases(connection: Connection) -> None:
    whole = later(now(), Job.c.lease_s)
    too_long = (Job.c.state == RUNNING, Job.c.lease_until > whole)
    connection.execute(update(Job).where(*too_long).values(lease_until=whole))


def _correct_pauses(connection: Connection, pause_s: float) -> None:
    pauses = (Job.c.state == QUEUED, Job.c.tries > 0, Job.c.not_before.is_not(None))
    for tries in connection.scalars(select(Job.c.tries).where(*pauses).distinct()).all():
        longest = later(now(), pause_after(tries, pause_s))
        too_long = (*pauses, Job.c.tries == tries, Job.c.not_before > longest)
        connection.execute(update(Job).where(*too_long).values(not_before=longest))


def _correct_workers(connection: Connection) -> None:
    asked = Worker.c.drain_requested_at
    corrected = {"seen_at": now(), "drain_requested_at": case((asked > now(), now()), else_=asked)}
    connection.execute(update(Worker).where(Worker.c.seen_at > now()).values(corrected))
