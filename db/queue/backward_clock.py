"""Corrects what is recorded when the database's clock has been put back.

A time that was near before is then far in the future: the lease of a dead worker, the end of a
pause, the turn to do the upkeep. Each of these has a longest possible distance from now. What lies
beyond it is set to that distance, so nothing waits longer than if it had just begun.
"""

from sqlalchemy import Connection, case, select, update

from fornada.db.clock import later, now, seconds_between
from fornada.db.queue.fences import QUEUED, RUNNING
from fornada.db.queue.verdicts import pause_after
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, UpkeepTurn, Worker


def correct(database: Database, *, more_than_s: float, pause_s: float) -> float | None:
    """Look whether the clock was put back, and bring what lies too far in the future near to now.

    The last beat of any worker tells it: it then lies in the future. A time that a person has
    chosen, for the start of a job, stays as it is.

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
