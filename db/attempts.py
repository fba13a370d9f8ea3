"""What an attempt does, from claim to its last epoch. Callers find it all in `db.jobs`.

Each write goes through `db.fences` first. How an attempt ends: `db.verdicts`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from db import summaries
from db.clock import later, now
from db.errors import Fenced
from db.facts import Claim, EpochRow, Fence, Requests, StartedFacts
from db.fences import QUEUED, best_columns, hold, holds, write_attempt
from db.moves import moved, tell
from db.session import Database
from db.states import JobState
from db.tables import Attempt, Dataset, Epoch, Job, Worker
from db.upsert import insert_for, upsert


def claim(  # noqa: PLR0913
    database: Database,
    *,
    worker: str,
    slot: str,
    queues: Sequence[str],
    has_gpu: bool,
    lease_s: float,
) -> Claim | None:
    """Take the best job that a slot can run: highest priority, then oldest.

    Args:
        worker: the name it registered under.
        slot: the slot's name.
        queues: the queues it serves.
        has_gpu: whether jobs that need a GPU fit.
        lease_s: how long the attempt may go unheard of, in seconds.
    Returns:
        The job, now running; None when there is none.
    """
    with database.begin() as connection:
        row = connection.execute(_claim(worker, slot, queues, has_gpu, lease_s)).one_or_none()
        if row is None:
            return None
        host = select(Worker.host).where(Worker.name == worker).scalar_subquery()
        attempt = {
            "job_id": row.id,
            "number": row.attempt,
            "worker": worker,
            "host": func.coalesce(host, worker),
            "slot": slot,
            "claimed_at": now(),
        }
        connection.execute(insert(Attempt).values(attempt))
        detail = {"attempt": row.attempt, "slot": slot}
        change = (JobState.QUEUED, JobState.RUNNING)
        moved(connection, row.id, change, worker, detail)
    return Claim(
        job_id=row.id,
        uid=row.uid,
        attempt=row.attempt,
        name=row.name,
        queue=row.queue,
        spec=row.spec,
        time_limit_s=row.time_limit_s,
        retry_attempts=row.retry_attempts,
        cancel_requested=row.cancel_requested_at is not None,
    )


def ready() -> ColumnElement[bool]:
    """Whether a job is queued and its time has come."""
    return and_(Job.state == QUEUED, or_(Job.not_before.is_(None), Job.not_before <= now()))


def claimable(queues: Sequence[str], has_gpu: bool) -> Select[int]:
    """Ids of the jobs that such a slot could run now, best first."""
    fits = ("auto", "0", "1") if has_gpu else ("auto", "0")
    return (
        select(Job.id)
        .where(
            ready(),
            Job.queue.in_(queues),
            Job.gpus.in_(fits),
        )
        .order_by(Job.priority.desc(), Job.id)
    )


def renew(database: Database, fence: Fence, lease_s: float) -> Requests:
    """Extend the lease: `lease_s` seconds from now.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    with database.begin() as connection:
        job = hold(connection, fence, lease_until=later(now(), lease_s), lease_s=lease_s)
        return Requests(cancel=job.cancel_requested_at is not None)


def requests(database: Database, fence: Fence) -> Requests:
    """What people have asked of the job; only a read.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    with database.read() as connection:
        wanted = select(Job.cancel_requested_at).where(holds(fence))
        job = connection.execute(wanted).one_or_none()
    if job is None:
        raise Fenced(fence.job_id, fence.attempt)
    return Requests(cancel=job.cancel_requested_at is not None)


def started(database: Database, fence: Fence, facts: StartedFacts) -> None:
    """Record what the trainer found, and forget the epochs that it will run again.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    data = {
        "classes": list(facts.classes),
        "train": facts.train,
        "validation": facts.validation,
        "test": facts.test,
    }
    with database.begin() as connection:
        job = hold(
            connection,
            fence,
            data=data,
            data_fingerprint=facts.fingerprint,
            parameters=facts.parameters,
            seed=facts.seed,
            epochs_run=facts.first_epoch - 1,
        )
        if job.best_epoch is not None and job.best_epoch >= facts.first_epoch:
            hold(connection, fence, **best_columns(None))
        worker = write_attempt(
            connection,
            fence,
            started_at=now(),
            trainer_pid=facts.trainer_pid,
            device=facts.device,
            backend=facts.backend,
            versions=dict(facts.versions),
        )
        _forget(connection, fence, facts.first_epoch)
        _dataset(connection, facts, data)
        tell(connection, fence.job_id, "started", worker, {"attempt": fence.attempt})


def record_epochs(database: Database, fence: Fence, epochs: Sequence[EpochRow]) -> None:
    """Record epochs; the same ones again change nothing.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    if not epochs:
        return
    ordered = sorted(epochs, key=lambda epoch: epoch.number)
    bests = [epoch.best for epoch in ordered if epoch.best]
    with database.begin() as connection:
        last = ordered[-1].number
        run = case((Job.epochs_run < last, last), else_=Job.epochs_run)
        hold(connection, fence, epochs_run=run, **(best_columns(bests[-1]) if bests else {}))
        rows = [
            {
                "job_id": fence.job_id,
                "number": epoch.number,
                "attempt": fence.attempt,
                "seconds": epoch.seconds,
                "images_per_s": epoch.images_per_s,
                "learning_rate": epoch.learning_rate,
                "metrics": dict(epoch.metrics),
            }
            for epoch in ordered
        ]
        upsert(connection, Epoch, rows, key=("job_id", "number"))
        summaries.add(connection, fence.job_id, [(e.number, e.metrics) for e in ordered])


def _claim(
    worker: str, slot: str, queues: Sequence[str], has_gpu: bool, lease_s: float
) -> ReturningUpdate[Any]:
    # The CTE locks the row it finds, or looks further: two workers never wait for one job.
    # SQLite has no such lock and needs none, there is one writer.
    best = claimable(queues, has_gpu).limit(1).with_for_update(skip_locked=True).cte("best")
    return (
        update(Job)
        .where(Job.id == select(best.c.id).scalar_subquery(), Job.state == QUEUED)
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            slot=slot,
            started_at=now(),
            lease_until=later(now(), lease_s),
            lease_s=lease_s,
        )
        .returning(
            Job.id,
            Job.uid,
            Job.attempt,
            Job.name,
            Job.queue,
            Job.spec,
            Job.time_limit_s,
            Job.retry_attempts,
            Job.cancel_requested_at,
        )
    )


def _forget(connection: Connection, fence: Fence, first_epoch: int) -> None:
    connection.execute(
        delete(Epoch).where(
            Epoch.job_id == fence.job_id,
            Epoch.attempt < fence.attempt,
            Epoch.number >= first_epoch,
        )
    )
    summaries.rebuild(connection, fence.job_id)


def _dataset(connection: Connection, facts: StartedFacts, data: Mapping[str, Any]) -> None:
    row = {
        "fingerprint": facts.fingerprint,
        "uri": facts.data_uri,
        "classes": data["classes"],
        "counts": {name: data[name] for name in ("train", "validation", "test")},
        "first_seen_at": now(),
    }
    connection.execute(insert_for(connection, Dataset).values(row).on_conflict_do_nothing())
