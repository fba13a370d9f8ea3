"""Why jobs wait: each has one reason, and no more than one."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from fornada.db.clock import iso
from fornada.db.queue.dependents import unmet_of
from fornada.db.queue.fleet import Fleet, FleetSlot
from fornada.db.states import JobState, Unfit
from fornada.db.store.tables import Queue


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
        Fleet.taking(workers), {rule.name: rule for rule in rules}, unmet_of(connection, held)
    )


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
            return Unfit.NO_WORKER
        return None if self._known.fleet.fitting(job.queue, job.gpus) else Unfit.NEEDS_GPU

    def _busy(self, job: Row[Any], ahead: int | None) -> str | None:
        before = self._ahead[job.queue] if ahead is None else ahead
        self._ahead[job.queue] += 1
        limit = self._known.limit(job.queue)
        if limit is not None and self._running[job.queue] >= limit:
            return f"QueueFull(max {limit})"
        fitting = self._known.fleet.fitting(job.queue, job.gpus)
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

    def _idle(self, slot: FleetSlot) -> bool:
        return (slot.worker, slot.name) not in self._taken


def _too_early(job: Row[Any]) -> str | None:
    if job.due_in_s <= 0:
        return None
    if job.attempt > 0:
        return f"Backoff(attempt {job.attempt + 1} in {math.ceil(job.due_in_s)} s)"
    return f"NotBefore({iso(job.not_before)})"
