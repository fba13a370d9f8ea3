"""Jobs that run or wait now, why they wait, and when they will start."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, func, or_, select

from fornada.db.answers import LiveAnswer, WaitsAnswer
from fornada.db.clock import now, seconds_between
from fornada.db.errors import JobNotFound
from fornada.db.queue.claims import ready
from fornada.db.queue.fences import HELD, QUEUED, RUNNING
from fornada.db.queue.workers import WORKER_IS_GONE_S, heard_of
from fornada.db.reads.documents import best_of, tags_of
from fornada.db.reads.estimates import MOST_JOBS, Starts, durations
from fornada.db.reads.recorded_specs import epochs_text, number_of
from fornada.db.reads.waits import Waits, circumstances
from fornada.db.reasons import Reason
from fornada.db.records import WorkerProcess
from fornada.db.states import JobState
from fornada.db.store.run_time import run_s
from fornada.db.store.session import Database
from fornada.db.store.tables import Epoch, Job
from fornada.db.timestamps import iso

# Most rows of an answer. A queue may hold a million jobs; nobody reads so many.
MOST = 1000
# Columns of each job; not `spec`, which is long.
_COLUMNS = (
    *("id", "uid", "name", "state", "priority", "queue", "user", "gpus", "worker", "slot"),
    *("epochs_run", "monitor", "submitted_at", "started_at", "cancel_requested_at"),
    *("best_epoch", "best_value", "best_uri", "best_sha256", "best_bytes"),
    *("spec_hash", "attempt", "not_before", "held_by", "avoid_host"),
)


def alive(
    database: Database,
    *,
    within_s: float = WORKER_IS_GONE_S,
    limit: int = MOST,
    dead: Collection[WorkerProcess] = (),
) -> list[LiveAnswer]:
    """Running jobs, then queued jobs in the order in which they are claimed, then held jobs.

    Args:
        within_s: seconds since its last heartbeat within which a worker counts as alive.
        limit: most rows.
        dead: workers that are known to have ended.
    Returns:
        One document for each job. `waits` is None for a job that runs or is about to start.
    """
    with database.read() as connection:
        jobs = _jobs(connection, limit)
        tags = tags_of(connection, [job.id for job in jobs])
        seen = _see(connection, jobs, within_s, dead)
    return [
        {
            "id": job.id,
            "uid": job.uid,
            "name": job.name,
            "state": job.state,
            "priority": job.priority,
            "queue": job.queue,
            "user": job.user,
            "tags": tags.get(job.id, {}),
            "worker": job.worker,
            "slot": job.slot,
            "epoch": job.epochs_run,
            "epochs": number_of(job.epochs),
            "monitor": job.monitor,
            "best": best_of(job),
            "submitted_at": iso(job.submitted_at),
            "started_at": iso(job.started_at),
            "elapsed_s": job.elapsed_s,
            "eta_s": seen.left.get(job.id),
            "cancel_requested": job.cancel_requested_at is not None,
            "attempts": job.attempt,
            "waits": seen.waits[job.id],
            "starts_in_s": seen.starts.get(job.id),
        }
        for job in jobs
    ]


def waits(
    database: Database,
    job_id: int,
    *,
    within_s: float = WORKER_IS_GONE_S,
    dead: Collection[WorkerProcess] = (),
) -> WaitsAnswer:
    """Why one job waits, and when it will start.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        job = connection.execute(_chosen().where(Job.c.id == job_id)).one_or_none()
        if job is None:
            raise JobNotFound(job_id)
        if job.state not in (JobState.QUEUED, JobState.HELD):
            return {"waits": None, "starts_in_s": None}
        jobs = _jobs(connection, MOST)
        if any(other.id == job_id for other in jobs):
            seen = _see(connection, jobs, within_s, dead)
            return {"waits": seen.waits[job_id], "starts_in_s": seen.starts.get(job_id)}
        # More than MOST jobs are before it.
        known = circumstances(connection, heard_of(connection, within_s, dead), [*jobs, job])
        ahead = connection.scalar(_ahead_of(job))
    why = Waits(known, jobs)
    for other in jobs:
        # Earlier jobs take the idle slots.
        why.of(other)
    return {"waits": why.of(job, ahead), "starts_in_s": None}


@dataclass(frozen=True)
class _Seen:
    """By job id: why it waits, when it starts, and seconds that a running job still needs."""

    waits: dict[int, Reason | None]
    starts: dict[int, float | None]
    left: dict[int, float]


def _see(
    connection: Connection,
    jobs: Sequence[Row[Any]],
    within_s: float,
    dead: Collection[WorkerProcess],
) -> _Seen:
    known = circumstances(connection, heard_of(connection, within_s, dead), jobs)
    left = _left(connection, [job for job in jobs if job.state is JobState.RUNNING])
    why = Waits(known, jobs)
    waits = {job.id: why.of(job) for job in jobs}
    queued = [job for job in jobs if job.state is JobState.QUEUED][:MOST_JOBS]
    starts: dict[int, float | None] = {}
    if queued:
        untold = [j for j in jobs if j.state is JobState.RUNNING and j.id not in left]
        start = Starts(known, jobs, durations(connection, [*queued, *untold]), left)
        starts = {job.id: start.of(job) for job in queued}
    return _Seen(waits, starts, left)


def _jobs(connection: Connection, limit: int) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    for walk in walks():
        if len(found) < limit:
            found += connection.execute(walk.limit(limit - len(found)))
    return found


def walks() -> tuple[Select[Any], Select[Any], Select[Any]]:
    """Queries for running, queued and held jobs. Each reads along an index, however many wait."""
    by_priority = (Job.c.priority.desc(), Job.c.id)
    return (
        _chosen().where(Job.c.state == RUNNING).order_by(*by_priority),
        _chosen().where(Job.c.state == QUEUED).order_by(*by_priority),
        _chosen().where(Job.c.state == HELD).order_by(Job.c.id),
    )


def _chosen() -> Select[Any]:
    return select(
        *(Job.c[name] for name in _COLUMNS),
        epochs_text(Job.c.spec).label("epochs"),
        case((Job.c.state == RUNNING, run_s())).label("elapsed_s"),
        func.coalesce(seconds_between(now(), Job.c.not_before), 0.0).label("due_in_s"),
    )


def _ahead_of(job: Row[Any]) -> Select[int]:
    earlier: ColumnElement[bool] = or_(
        Job.c.priority > job.priority, and_(Job.c.priority == job.priority, Job.c.id < job.id)
    )
    return select(func.count()).where(ready(), Job.c.queue == job.queue, earlier)


def _left(connection: Connection, running: Sequence[Row[Any]]) -> dict[int, float]:
    """Seconds left of each running job if it runs every epoch; early stopping may end it first."""
    # The ids are listed, because SQLite may otherwise read all epochs.
    pace = (
        select(Epoch.c.job_id, func.avg(Epoch.c.seconds))
        .join(Job, Job.c.id == Epoch.c.job_id)
        .where(Epoch.c.job_id.in_([job.id for job in running]), Epoch.c.attempt == Job.c.attempt)
        .group_by(Epoch.c.job_id)
    )
    paces: dict[int, float] = dict(connection.execute(pace).all())
    return {
        job.id: max(0, epochs - job.epochs_run) * paces[job.id]
        for job in running
        if job.id in paces and (epochs := number_of(job.epochs)) is not None
    }
