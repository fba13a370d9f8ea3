"""Attempts that nobody will end: their lease ran out, or their worker has started anew."""

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from fornada.db.clock import later, now
from fornada.db.queue.fences import RUNNING
from fornada.db.queue.logs import last_lines
from fornada.db.queue.moves import UPKEEP
from fornada.db.queue.verdicts import PAUSE_S, end
from fornada.db.records import Failure, Fence, Verdict
from fornada.db.states import QUOTE, AttemptOutcome, FailureCode
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job, UpkeepTurn


def expire_leases(database: Database, *, pause_s: float = PAUSE_S) -> list[int]:
    """End the attempts whose lease has run out; after an outage, not before a full lease.

    Args:
        pause_s: before the second attempt; see `finish`.
    Returns:
        The jobs whose attempt was lost.
    """
    silent = "worker {} was not heard of for longer than its lease"
    return _lose(database, expired(), silent, actor=UPKEEP, pause_s=pause_s)


def abandon(database: Database, *, worker: str, host: str, pause_s: float = PAUSE_S) -> list[int]:
    """End the attempts of a worker's earlier life: one of this name has just come up.

    Args:
        worker: the name it registers under.
        host: its host; attempts of the name elsewhere are another worker's.
        pause_s: before the second attempt; see `finish`.
    Returns:
        The jobs whose attempt was lost.
    """
    ours = and_(Job.state == RUNNING, Job.worker == worker, _attempted_on(host))
    anew = "worker {} was started anew"
    return _lose(database, ours, anew, actor=worker, pause_s=pause_s)


def expired() -> ColumnElement[bool]:
    """Whether a job's attempt has not been heard of for longer than its lease."""
    resumed = select(UpkeepTurn.resumed_at).scalar_subquery()
    return and_(
        Job.state == RUNNING,
        Job.lease_until < now(),
        # The database was away from everybody: nobody could renew.
        or_(resumed.is_(None), later(resumed, Job.lease_s) < now()),
    )


def lost() -> Select[int]:
    """Ids of the jobs whose attempt has not been heard of for longer than its lease."""
    return _running(expired())


def _lose(
    database: Database, which: ColumnElement[bool], message: str, *, actor: str, pause_s: float
) -> list[int]:
    """End each attempt in a transaction of its own: one that is locked holds up no other."""
    with database.read() as connection:
        ids = list(connection.scalars(_running(which)))
    ended = []
    for job_id in ids:
        with database.begin() as connection:
            # An attempt that is writing at this moment is alive.
            row = select(Job.id, Job.attempt, Job.worker).where(Job.id == job_id, which)
            job = connection.execute(row.with_for_update(skip_locked=True)).one_or_none()
            if job is None:
                continue
            fence = Fence(job.id, job.attempt)
            tail = last_lines(connection, fence)
            said = message.format(f"{job.worker} on {_host(connection, fence)}")
            said += f"{QUOTE}{tail[-1]}" if tail else ""
            failure = Failure(FailureCode.WORKER_LOST, said, "\n".join(tail))
            verdict = Verdict(AttemptOutcome.LOST, failure=failure)
            end(connection, fence, verdict, pause_s=pause_s, actor=actor)
            ended.append(job_id)
    return ended


def _host(connection: Connection, fence: Fence) -> str | None:
    of_attempt = [Attempt.job_id == fence.job_id, Attempt.number == fence.attempt]
    return connection.scalar(select(Attempt.host).where(*of_attempt))


def _running(which: ColumnElement[bool]) -> Select[int]:
    return select(Job.id).where(which).order_by(Job.id)


def _attempted_on(host: str) -> ColumnElement[bool]:
    last = [Attempt.job_id == Job.id, Attempt.number == Job.attempt, Attempt.host == host]
    return select(Attempt.number).where(*last).exists()
