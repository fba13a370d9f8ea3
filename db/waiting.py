"""Why jobs wait: each has one reason, and no more than one."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from db.clock import iso
from db.states import LIVE_STATES, JobState
from db.tables import Dependency, Job, Queue
from db.workers import has_gpu


@dataclass(frozen=True)
class Slot:
    """One place where a job could run."""

    worker: str
    name: str
    host: str
    gpu: bool


class Fleet:
    """The slots that are there, by what they take.

    Args:
        workers: rows of those that are alive; one that drains takes nothing.
    """

    def __init__(self, workers: Sequence[Row[Any]]) -> None:
        self._workers = [worker for worker in workers if worker.state != "draining"]
        self._fitting: dict[tuple[str, bool], list[Slot]] = {}

    def serving(self, queue: str) -> list[Slot]:
        """All slots of the workers that serve a queue."""
        return self._known(queue, needs_gpu=False)

    def fitting(self, job: Row[Any]) -> list[Slot]:
        """The slots that a job fits."""
        return self._known(job.queue, needs_gpu=job.gpus == "1")

    def _known(self, queue: str, *, needs_gpu: bool) -> list[Slot]:
        key = (queue, needs_gpu)
        if key not in self._fitting:
            self._fitting[key] = [s for s in self._slots(queue) if s.gpu or not needs_gpu]
        return self._fitting[key]

    def _slots(self, queue: str) -> Iterator[Slot]:
        for worker in self._workers:
            if queue in worker.queues:
                for slot in worker.slots:
                    yield Slot(worker.name, slot["name"], worker.host, has_gpu(slot))


@dataclass(frozen=True)
class Circumstances:
    """All that decides why jobs wait, besides the jobs."""

    fleet: Fleet
    # By name; a queue without a row is open.
    queues: Mapping[str, Row[Any]]
    # Ids of the jobs that a held job still waits for.
    unmet: Mapping[int, Sequence[int]]

    def limit(self, queue: str) -> int | None:
        """How many jobs of a queue may run at once."""
        rule = self.queues.get(queue)
        return None if rule is None else rule.max_running

    def paused(self, queue: str) -> bool:
        """Whether no job of a queue starts."""
        return queue in self.queues and self.queues[queue].paused


def circumstances(
    connection: Connection, workers: Sequence[Row[Any]], jobs: Sequence[Row[Any]]
) -> Circumstances:
    """What holds for these live jobs, with these workers."""
    held = [job.id for job in jobs if job.state is JobState.HELD]
    rules = connection.execute(select(*Queue.__table__.c))
    return Circumstances(
        Fleet(workers), {rule.name: rule for rule in rules}, unmet_of(connection, held)
    )


def unmet_of(connection: Connection, job_ids: Sequence[int]) -> dict[int, list[int]]:
    """Ids of the jobs that others still wait for, by the one that waits."""
    unmet: dict[int, list[int]] = {}
    if not job_ids:
        return unmet
    wanted = (
        select(Dependency.job_id, Dependency.needs_id)
        .join(Job, Job.id == Dependency.needs_id)
        .where(Dependency.job_id.in_(job_ids), Job.state.in_(sorted(LIVE_STATES)))
        .order_by(Dependency.job_id, Dependency.needs_id)
    )
    for job_id, needs_id in connection.execute(wanted):
        unmet.setdefault(job_id, []).append(needs_id)
    return unmet


class Reasons:
    """Why jobs wait, decided one after the other in the order of their claim.

    Args:
        known: see `circumstances`.
        jobs: every live job, those that run first.
    """

    def __init__(self, known: Circumstances, jobs: Sequence[Row[Any]]) -> None:
        self._known = known
        running = [job for job in jobs if job.state is JobState.RUNNING]
        self._taken = {(job.worker, job.slot) for job in running}
        self._running = Counter(job.queue for job in running)
        self._ahead: Counter[str] = Counter()

    def of(self, job: Row[Any], ahead: int | None = None) -> str | None:
        """Asked for each job in the order of its claim.

        Args:
            ahead: how many jobs of its queue come before it, where not all of them were asked for.
        Returns:
            Held(by ana), After(#41,#42), NotBefore(2026-01-02T22:00:00.000Z),
            Backoff(attempt 2 in 40 s), QueuePaused;
            NoWorker: none serves its queue. NeedsGpu: none that does has a GPU.
            QueueFull(max 2): as many of its queue run as may.
            HostAvoided: the idle slot is where an attempt crashed, another host will be free.
            Priority(3 ahead): so many jobs of its queue are claimed before it.
            SlotsBusy: it is the next, when a slot is free.
            None: it runs, it has ended, or it is about to start.
        """
        if job.state is JobState.HELD:
            return self._held(job)
        if job.state is not JobState.QUEUED:
            return None
        return _too_early(job) or self._nowhere(job) or self._busy(job, ahead)

    def _held(self, job: Row[Any]) -> str:
        if job.held_by is not None:
            # user@host
            return f"Held(by {job.held_by.partition('@')[0]})"
        unmet = self._known.unmet.get(job.id, ())
        return f"After({','.join(f'#{need}' for need in unmet)})"

    def _nowhere(self, job: Row[Any]) -> str | None:
        if self._known.paused(job.queue):
            return "QueuePaused"
        if not self._known.fleet.serving(job.queue):
            return "NoWorker"
        return None if self._known.fleet.fitting(job) else "NeedsGpu"

    def _busy(self, job: Row[Any], ahead: int | None) -> str | None:
        before = self._ahead[job.queue] if ahead is None else ahead
        self._ahead[job.queue] += 1
        limit = self._known.limit(job.queue)
        if limit is not None and self._running[job.queue] >= limit:
            return f"QueueFull(max {limit})"
        fitting = self._known.fleet.fitting(job)
        elsewhere = [slot for slot in fitting if slot.host != job.avoid_host]
        welcome = elsewhere or fitting
        free = next((slot for slot in welcome if self._idle(slot)), None)
        if free is not None:
            # The next job does not count on it.
            self._taken.add((free.worker, free.name))
            self._running[job.queue] += 1
            return None
        if any(self._idle(slot) for slot in fitting):
            return "HostAvoided"
        return f"Priority({before} ahead)" if before else "SlotsBusy"

    def _idle(self, slot: Slot) -> bool:
        return (slot.worker, slot.name) not in self._taken


def _too_early(job: Row[Any]) -> str | None:
    if job.due_in_s <= 0:
        return None
    if job.attempt > 0:
        return f"Backoff(attempt {job.attempt + 1} in {math.ceil(job.due_in_s)} s)"
    return f"NotBefore({iso(job.not_before)})"
