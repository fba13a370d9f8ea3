"""Decides why each job waits: every waiting job has exactly one reason."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from fornada.db.queue.dependents import unmet_of
from fornada.db.queue.fleet import Fleet, FleetSlot
from fornada.db.reasons import (
    After,
    Backoff,
    Held,
    HostAvoided,
    NeedsGpu,
    NotBefore,
    NoWorker,
    Priority,
    QueueFull,
    QueuePaused,
    Reason,
    SlotsBusy,
    WorkersUnfit,
)
from fornada.db.states import JobState
from fornada.db.store.tables import Queue


@dataclass(frozen=True)
class Circumstances:
    """What decides why jobs wait, apart from the jobs themselves."""

    fleet: Fleet
    # The workers whose hosts cannot run jobs now, and by a worker's name why not.
    unfit: Fleet
    why_unfit: Mapping[str, str]
    # By the queue's name. A queue without a row is open and has no limit.
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
    """Read the circumstances of these live jobs and these workers."""
    held = [job.id for job in jobs if job.state is JobState.HELD]
    rules = connection.execute(select(Queue))
    return Circumstances(
        Fleet.taking(workers),
        Fleet.unfit(workers),
        {worker.name: worker.unfit for worker in workers if worker.unfit is not None},
        {rule.name: rule for rule in rules},
        unmet_of(connection, held),
    )


class Waits:
    """Decides why jobs wait. Ask for the jobs one by one, in the order in which they are claimed.

    Args:
        known: see `circumstances`.
        jobs: every live job; the running ones come first.
    """

    def __init__(self, known: Circumstances, jobs: Sequence[Row[Any]]) -> None:
        self._known = known
        running = [job for job in jobs if job.state is JobState.RUNNING]
        self._taken = {(job.worker, job.slot) for job in running}
        self._running = Counter(job.queue for job in running)
        self._ahead: Counter[str] = Counter()

    def of(self, job: Row[Any], ahead: int | None = None) -> Reason | None:
        """Why a job waits; ask for every live job, in the order of their claim.

        Args:
            ahead: how many jobs of its queue are claimed before it. Needed where the jobs before
                it were not all asked for.
        Returns:
            None for a job that runs, has ended, or is about to start.
        """
        if job.state is JobState.HELD:
            return self._held(job)
        if job.state is not JobState.QUEUED:
            return None
        return _too_early(job) or self._nowhere(job) or self._busy(job, ahead)

    def _held(self, job: Row[Any]) -> Reason:
        if job.held_by is not None:
            # user@host
            return Held(job.held_by.partition("@")[0])
        return After(self._known.unmet.get(job.id, ()))

    def _nowhere(self, job: Row[Any]) -> Reason | None:
        if self._known.paused(job.queue):
            return QueuePaused()
        fleet, unfit = self._known.fleet, self._known.unfit
        if fleet.fitting(job.queue, job.gpus):
            return None
        if slots := unfit.fitting(job.queue, job.gpus):
            names = list(dict.fromkeys(slot.worker for slot in slots))
            return WorkersUnfit(names, self._known.why_unfit[names[0]])
        served = fleet.serving(job.queue) or unfit.serving(job.queue)
        return NeedsGpu() if served else NoWorker()

    def _busy(self, job: Row[Any], ahead: int | None) -> Reason | None:
        before = self._ahead[job.queue] if ahead is None else ahead
        self._ahead[job.queue] += 1
        limit = self._known.limit(job.queue)
        if limit is not None and self._running[job.queue] >= limit:
            return QueueFull(limit)
        fitting = self._known.fleet.fitting(job.queue, job.gpus)
        elsewhere = [slot for slot in fitting if slot.host != job.avoid_host]
        welcome = elsewhere or fitting
        free = next((slot for slot in welcome if self._idle(slot)), None)
        if free is not None:
            # The next job cannot use this slot.
            self._taken.add((free.worker, free.name))
            self._running[job.queue] += 1
            return None
        if any(self._idle(slot) for slot in fitting):
            return HostAvoided()
        return Priority(before) if before else SlotsBusy()

    def _idle(self, slot: FleetSlot) -> bool:
        return (slot.worker, slot.name) not in self._taken


def _too_early(job: Row[Any]) -> Reason | None:
    if job.due_in_s <= 0:
        return None
    if job.attempt > 0:
        return Backoff(job.attempt + 1, math.ceil(job.due_in_s))
    return NotBefore(job.not_before)
