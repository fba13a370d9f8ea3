"""Ends attempts that lost their worker: the lease ran out, or the worker is known to have ended."""

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from fornada.db.clock import later, now
from fornada.db.queue import workers
from fornada.db.queue.fences import RUNNING
from fornada.db.queue.logs import last_lines
from fornada.db.queue.moves import UPKEEP
from fornada.db.queue.verdicts import PAUSE_S, end
from fornada.db.records import Failure, Fence, Verdict, WorkerProcess
from fornada.db.states import QUOTE, AttemptOutcome, FailureCode
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job, UpkeepTurn, Worker


def expire_leases(database: Database, *, pause_s: float = PAUSE_S) -> list[int]:
    """End the attempts whose lease has run out.

    After an outage of the database, every attempt first gets the time of one full lease to renew.

    Args:
        database: where the jobs are.
        pause_s: seconds of pause before the second attempt; see `finish`.
    Returns:
        Ids of the jobs whose attempt was lost.
    """
    message = "worker {} did not renew its lease in time"
    return _lose(database, expired(), message, actor=UPKEEP, pause_s=pause_s)


def abandon(database: Database, *, worker: str, host: str, pause_s: float = PAUSE_S) -> list[int]:
    """End the attempts of a worker's earlier process, when the worker has just been started again.

    Args:
        database: where the jobs are.
        worker: the worker's registered name.
        host: the worker's host. Attempts of this name on other hosts belong to another worker.
        pause_s: seconds of pause before the second attempt; see `finish`.
    Returns:
        Ids of the jobs whose attempt was lost.
    """
    own = and_(Job.c.state == RUNNING, Job.c.worker == worker, _last_attempt_on(host))
    message = "worker {} was started again"
    return _lose(database, own, message, actor=worker, pause_s=pause_s, elsewhere=False)


def bury(database: Database, ended: WorkerProcess, *, pause_s: float = PAUSE_S) -> list[int]:
    """End the attempts of a worker that was killed, and record that the worker has ended.

    Nothing changes if another process has the worker's name by now.

    Args:
        database: where the jobs are.
        ended: the worker's last process, which is known to have ended.
        pause_s: seconds of pause before the second attempt; see `finish`.
    Returns:
        Ids of the jobs whose attempt was lost.
    """
    is_recorded = select(Worker.c.name).where(workers.is_process(ended)).exists()
    own = and_(Job.c.state == RUNNING, Job.c.worker == ended.name, _last_attempt_on(ended.host))
    message = "worker {} was killed"
    which = and_(own, is_recorded)
    jobs = _lose(database, which, message, actor=UPKEEP, pause_s=pause_s, elsewhere=False)
    workers.gone(database, ended.name, process=ended)
    return jobs


def expired() -> ColumnElement[bool]:
    """Whether the lease of a job's attempt has run out."""
    resumed = select(UpkeepTurn.c.resumed_at).scalar_subquery()
    return and_(
        Job.c.state == RUNNING,
        Job.c.lease_until < now(),
        # During an outage of the database no attempt could renew its lease.
        or_(resumed.is_(None), later(resumed, Job.c.lease_s) < now()),
    )


def lost() -> Select[int]:
    """Ids of the jobs whose attempt's lease has run out."""
    return _ids(expired())


def _lose(  # noqa: PLR0913 - each is a fact of the end
    database: Database,
    which: ColumnElement[bool],
    message: str,
    *,
    actor: str,
    pause_s: float,
    elsewhere: bool = True,
) -> list[int]:
    """End each of the attempts as lost, and return the ids of their jobs.

    Each attempt has its own transaction, so that a locked row delays no other attempt.

    Args:
        database: where the jobs are.
        which: the running jobs whose attempts are lost.
        message: of the failure; {} stands for worker and host.
        actor: who ends the attempts.
        pause_s: see `finish`.
        elsewhere: see `fornada.db.queue.verdicts.end`.
    """
    with database.read() as connection:
        ids = list(connection.scalars(_ids(which)))
    ended = []
    for job_id in ids:
        with database.begin() as connection:
            # Skip a locked row: its attempt is writing at this moment, so it is alive.
            row = select(Job.c.id, Job.c.attempt, Job.c.worker).where(Job.c.id == job_id, which)
            lock = row.with_for_update(skip_locked=True, key_share=True)
            job = connection.execute(lock).one_or_none()
            if job is None:
                continue
            fence = Fence(job.id, job.attempt)
            tail = last_lines(connection, fence)
            text = message.format(f"{job.worker} on {_host(connection, fence)}")
            text += f"{QUOTE}{tail[-1]}" if tail else ""
            failure = Failure(FailureCode.WORKER_LOST, text, "\n".join(tail))
            verdict = Verdict(AttemptOutcome.LOST, failure=failure)
            end(connection, fence, verdict, pause_s=pause_s, actor=actor, elsewhere=elsewhere)
            ended.append(job_id)
    return ended


def _host(connection: Connection, fence: Fence) -> str | None:
    of_attempt = [Attempt.c.job_id == fence.job_id, Attempt.c.number == fence.attempt]
    return connection.scalar(select(Attempt.c.host).where(*of_attempt))


def _ids(which: ColumnElement[bool]) -> Select[int]:
    return select(Job.c.id).where(which).order_by(Job.c.id)


def _last_attempt_on(host: str) -> ColumnElement[bool]:
    last = [Attempt.c.job_id == Job.c.id, Attempt.c.number == Job.c.attempt, Attempt.c.host == host]
    return select(Attempt.c.number).where(*last).exists()
