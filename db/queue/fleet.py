"""The slots of workers, sorted by the jobs that fit them, and whether any slot fits a job."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Row, select

from fornada.db.clock import later, now
from fornada.db.queue.workers import has_gpu, takes_jobs
from fornada.db.reasons import NeedsGpu, NoWorker, Unfit
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.db.store.tables import Worker

# Seconds after its last beat when a worker is no longer expected to come back: 30 days.
FORGOTTEN_S = 30 * 86_400.0
# The values that `gpus` of a job may have.
GPUS = ("auto", "0", "1")
# A job with this value fits only a slot with a GPU.
NEEDS_GPU = "1"


@dataclass(frozen=True)
class FleetSlot:
    """One place where a job could run."""

    worker: str
    name: str
    host: str
    gpu: bool


class Fleet:
    """The slots of some workers. Looks them up by queue and by need of a GPU.

    Args:
        workers: rows of the table `worker`.
    """

    def __init__(self, workers: Iterable[Row[Any]]) -> None:
        self._workers = list(workers)
        self._fitting: dict[tuple[str, bool], list[FleetSlot]] = {}

    @classmethod
    def taking(cls, workers: Iterable[Row[Any]]) -> Self:
        """Only the workers that take jobs now, see `takes_jobs`."""
        return cls(worker for worker in workers if takes_jobs(worker))

    @classmethod
    def unfit(cls, workers: Iterable[Row[Any]]) -> Self:
        """Only the workers that take no jobs because their hosts cannot run any now."""
        return cls(
            worker
            for worker in workers
            if worker.state != WorkerState.DRAINING and worker.unfit is not None
        )

    def serving(self, queue: str) -> Sequence[FleetSlot]:
        """All slots of the workers that serve a queue."""
        return self._find(queue, needs_gpu=False)

    def fitting(self, queue: str, gpus: str) -> Sequence[FleetSlot]:
        """The slots that can run a job of this queue with this value of `gpus`: auto, 0 or 1."""
        return self._find(queue, needs_gpu=gpus == NEEDS_GPU)

    def _find(self, queue: str, *, needs_gpu: bool) -> Sequence[FleetSlot]:
        key = (queue, needs_gpu)
        if key not in self._fitting:
            self._fitting[key] = [s for s in self._slots(queue) if s.gpu or not needs_gpu]
        return self._fitting[key]

    def _slots(self, queue: str) -> Iterator[FleetSlot]:
        for worker in self._workers:
            if queue in worker.queues:
                for slot in worker.slots:
                    yield FleetSlot(worker.name, slot["name"], worker.host, has_gpu(slot))


def never_runs(
    database: Database, queue: str, gpus: str, *, within_s: float = FORGOTTEN_S
) -> Unfit | None:
    """Why no known worker can run a job. Workers that are gone for a while count too.

    Args:
        database: where the workers are.
        queue: the job's queue.
        gpus: the job's `gpus`: auto, 0 or 1.
        within_s: workers count if they were seen within this many seconds.
    Returns:
        None when a worker can run the job, and when no worker is known at all: the first one to
        start may be able to.
    """
    with database.read() as connection:
        known = select(Worker).where(Worker.c.seen_at >= later(now(), -within_s))
        workers = connection.execute(known).all()
    fleet = Fleet(workers)
    if not workers or fleet.fitting(queue, gpus):
        return None
    return NeedsGpu() if fleet.serving(queue) else NoWorker()
