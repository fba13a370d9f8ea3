"""The slots of some workers, by what they take, and whether any of them could ever run a job."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Row, select

from fornada.db.clock import later, now
from fornada.db.queue.workers import has_gpu
from fornada.db.reasons import NeedsGpu, NoWorker, Unfit
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.db.store.tables import Worker

# A worker that has not been heard of for so long is not expected back.
FORGOTTEN_S = 30 * 86_400.0
# What a job may ask for, and what of it fits no slot without a GPU.
GPUS = ("auto", "0", "1")
NEEDS_GPU = "1"


@dataclass(frozen=True)
class FleetSlot:
    """One place where a job could run."""

    worker: str
    name: str
    host: str
    gpu: bool


class Fleet:
    """The slots of some workers, by what they take.

    Args:
        workers: their rows.
    """

    def __init__(self, workers: Iterable[Row[Any]]) -> None:
        self._workers = list(workers)
        self._fitting: dict[tuple[str, bool], list[FleetSlot]] = {}

    @classmethod
    def taking(cls, workers: Iterable[Row[Any]]) -> Self:
        """Of those that take jobs now: one that drains takes none."""
        return cls(worker for worker in workers if worker.state != WorkerState.DRAINING)

    def serving(self, queue: str) -> Sequence[FleetSlot]:
        """All slots of the workers that serve a queue."""
        return self._known(queue, needs_gpu=False)

    def fitting(self, queue: str, gpus: str) -> Sequence[FleetSlot]:
        """The slots that a job of a queue fits, by what it asks for: auto, 0 or 1."""
        return self._known(queue, needs_gpu=gpus == NEEDS_GPU)

    def _known(self, queue: str, *, needs_gpu: bool) -> Sequence[FleetSlot]:
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
    """Why no worker could ever run a job, alive or gone for a while.

    Args:
        queue: the job's.
        gpus: what it asks for: auto, 0 or 1.
        within_s: how long ago a worker may last have been heard of.
    Returns:
        None: one could, or no worker is known at all, so that the first may well be the one.
    """
    with database.read() as connection:
        known = select(*Worker.__table__.c).where(Worker.seen_at >= later(now(), -within_s))
        workers = connection.execute(known).all()
    fleet = Fleet(workers)
    if not workers or fleet.fitting(queue, gpus):
        return None
    return NeedsGpu() if fleet.serving(queue) else NoWorker()
