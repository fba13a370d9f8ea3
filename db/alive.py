"""What is alive now: jobs that run or wait, and why they wait."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select

from db.clock import iso, now, seconds_between
from db.documents import best_of, tags_of
from db.session import Database
from db.states import LIVE_STATES, JobState
from db.tables import Epoch, Job
from db.workers import WORKER_IS_GONE_S, has_gpu, heard_of

# More rows than anybody reads; a queue may hold a million jobs.
MOST = 1000


def alive(
    database: Database, *, within_s: float = WORKER_IS_GONE_S, limit: int = MOST
) -> list[dict[str, Any]]:
    """Jobs that run, then those that wait in the order of their claim, then those held.

    Args:
        within_s: how long ago a worker may last have been heard of.
        limit: rows at most.
    Returns:
        Of each: id, uid, name, state, priority, queue, user, tags, worker, slot, epoch, epochs,
        monitor, best, submitted_at, started_at, elapsed_s, eta_s, cancel_requested, and waits:
        for a queued job why, for others and for one that is about to start null.
    """
    with database.read() as connection:
        jobs = connection.execute(_live().limit(limit)).all()
        tags = tags_of(connection, [job.id for job in jobs])
        why = Reasons(heard_of(connection, within_s), jobs)
        paces = _paces(connection)
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
            "epochs": job.epochs,
            "monitor": job.monitor,
            "best": best_of(job),
            "submitted_at": iso(job.submitted_at),
            "started_at": iso(job.started_at),
            "elapsed_s": job.elapsed_s,
            "eta_s": _eta(job, paces.get(job.id)),
            "cancel_requested": job.cancel_requested_at is not None,
            "waits": why.of(job),
        }
        for job in jobs
    ]


class Reasons:
    """Why queued jobs wait, decided from the workers that are there and the jobs that run.

    Args:
        workers: rows of those that are alive.
        jobs: every live job, queued ones in the order of their claim.
    """

    def __init__(self, workers: Sequence[Row[Any]], jobs: Sequence[Row[Any]]) -> None:
        self._workers = [worker for worker in workers if worker.state != "draining"]
        self._taken = {
            (job.worker, job.slot) for job in jobs if job.state is JobState.RUNNING and job.slot
        }
        self._ahead: Counter[str] = Counter()

    def of(self, job: Row[Any]) -> str | None:
        """Asked for each job in the order of its claim.

        Returns:
            Delayed: its time has not come. NoWorker: none serves its queue. NeedsGpu: none that
            does has a GPU. Priority(3 ahead): so many jobs of its queue are claimed before it.
            SlotsBusy: it is the next, when a slot is free. None: it is about to start.
        """
        if job.state is not JobState.QUEUED:
            return None
        if job.delayed:
            return "Delayed"
        slots = [
            ((worker.name, slot["name"]), has_gpu(slot))
            for worker in self._workers
            if job.queue in worker.queues
            for slot in worker.slots
        ]
        if not slots:
            return "NoWorker"
        fitting = [name for name, gpu in slots if gpu or job.gpus != "1"]
        if not fitting:
            return "NeedsGpu"
        ahead = self._ahead[job.queue]
        self._ahead[job.queue] += 1
        idle = sum(name not in self._taken for name in fitting)
        if ahead < idle:
            return None
        return f"Priority({ahead} ahead)" if ahead else "SlotsBusy"


def _live() -> Select[Any]:
    first = case((Job.state == JobState.RUNNING, 0), (Job.state == JobState.QUEUED, 1), else_=2)
    delayed = func.coalesce(Job.not_before > now(), False)
    return (
        select(
            *(Job.__table__.c[name] for name in _COLUMNS),
            Job.spec["fit"]["epochs"].as_integer().label("epochs"),
            seconds_between(Job.started_at, now()).label("elapsed_s"),
            delayed.label("delayed"),
        )
        .where(Job.state.in_(sorted(LIVE_STATES)))
        .order_by(first, Job.priority.desc(), Job.id)
    )


# Not the spec, which is long.
_COLUMNS = (
    *("id", "uid", "name", "state", "priority", "queue", "user", "gpus", "worker", "slot"),
    *("epochs_run", "monitor", "submitted_at", "started_at", "cancel_requested_at"),
    *("best_epoch", "best_value", "best_uri", "best_sha256", "best_bytes"),
)


def _paces(connection: Connection) -> dict[int, float]:
    """Seconds an epoch takes, by running job."""
    pace = (
        select(Epoch.job_id, func.avg(Epoch.seconds))
        .join(Job, Job.id == Epoch.job_id)
        .where(Job.state == JobState.RUNNING, Epoch.attempt == Job.attempt)
        .group_by(Epoch.job_id)
    )
    return dict(connection.execute(pace).all())


def _eta(job: Row[Any], pace: float | None) -> float | None:
    """Seconds left if every epoch is run: early stopping may come before."""
    if job.state is not JobState.RUNNING or pace is None or job.epochs is None:
        return None
    left: int = max(0, job.epochs - job.epochs_run)
    return left * pace
