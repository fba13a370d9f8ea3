"""Estimates when waiting jobs will start, from how long similar jobs took before.

Where the history says nothing, there is no estimate. The work is limited: only so many jobs get an
estimate, and only so much history is read for each.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from fornada.db.queue.fences import SUCCEEDED
from fornada.db.queue.fleet import NEEDS_GPU, FleetSlot
from fornada.db.reads.waits import Circumstances
from fornada.db.states import JobState
from fornada.db.store.tables import Job

# Most waiting jobs that get an estimate, and most earlier jobs that each estimate averages.
MOST_JOBS = 200
MOST_LIKE_IT = 20
# How many of the last jobs of a name are searched for jobs that succeeded.
MOST_OF_A_NAME = 100
# The waiting job for which similar jobs are looked up.
_ONE = Job.alias("one")
# Duration of a job without history. Jobs behind it have no known start either.
UNKNOWN = math.inf


@dataclass(frozen=True)
class Durations:
    """Average duration in seconds of the last jobs that succeeded."""

    by_hash: Mapping[str, float]
    by_name: Mapping[str, float]

    def of(self, job: Row[Any]) -> float:
        """The average of equal specs, else of jobs with the same name, else UNKNOWN."""
        return self.by_hash.get(job.spec_hash, self.by_name.get(job.name, UNKNOWN))


def durations(connection: Connection, jobs: Sequence[Row[Any]]) -> Durations:
    """How long jobs like these took before."""
    by_hash = _averages(connection, jobs, "spec_hash", equal_specs)
    others = [job for job in jobs if job.spec_hash not in by_hash]
    return Durations(by_hash, _averages(connection, others, "name", same_name))


def equal_specs(spec_hash: Any) -> Select[Any]:
    """Durations of the last jobs that succeeded with this spec."""
    like_it = [Job.c.spec_hash == spec_hash, Job.c.state == SUCCEEDED]
    last = select(Job.c.duration_s).where(*like_it).order_by(Job.c.id.desc()).limit(MOST_LIKE_IT)
    return last.correlate(_ONE)


def same_name(name: Any) -> Select[Any]:
    """Durations of the jobs that succeeded among the last jobs of this name."""
    last = select(Job.c.duration_s, Job.c.state).where(Job.c.name == name).correlate(_ONE)
    found = last.order_by(Job.c.id.desc()).limit(MOST_OF_A_NAME).subquery()
    return select(found.c.duration_s).where(found.c.state == JobState.SUCCEEDED)


class Starts:
    """Estimates starts. Ask for the jobs one by one, in the order in which they are claimed.

    Args:
        known: see `fornada.db.reads.waits`.
        jobs: every live job; the running ones come first.
        took: how long similar jobs took.
        left: by job id, the seconds that a running job still needs, where its epochs tell.
    """

    def __init__(
        self,
        known: Circumstances,
        jobs: Sequence[Row[Any]],
        took: Durations,
        left: Mapping[int, float],
    ) -> None:
        self._known = known
        self._took = took
        # By slot: when it is free. By queue: when its jobs end. In seconds from now.
        self._free: dict[tuple[str, str], float] = {}
        self._ends: dict[str, list[float]] = {}
        # By queue and need of a GPU: the slots, ordered by when they were expected to be free.
        self._heaps: dict[tuple[str, bool], list[tuple[float, str, str]]] = {}
        for job in jobs:
            if job.state is JobState.RUNNING:
                end = left.get(job.id, max(0.0, took.of(job) - (job.elapsed_s or 0.0)))
                self._free[job.worker, job.slot] = end
                heapq.heappush(self._ends.setdefault(job.queue, []), end)

    def of(self, job: Row[Any]) -> float | None:
        """Seconds until a job starts; None without an estimate."""
        if job.state is not JobState.QUEUED or self._known.paused(job.queue):
            return None
        fitting = self._known.fleet.fitting(job.queue, job.gpus)
        if not fitting:
            return None
        heap = self._heap((job.queue, job.gpus == NEEDS_GPU), fitting)
        slot_at = self._first_free(heap)
        queue_at = self._room(job.queue)
        start = max(slot_at, queue_at, job.due_in_s)
        if job.due_in_s <= 0:
            # A job that waits for its time leaves the slot to other jobs until then.
            self._book(heap, job, start)
        return None if start == UNKNOWN else start

    def _heap(
        self, key: tuple[str, bool], fitting: Sequence[FleetSlot]
    ) -> list[tuple[float, str, str]]:
        if key not in self._heaps:
            free = [(self._free.get((s.worker, s.name), 0.0), s.worker, s.name) for s in fitting]
            heapq.heapify(free)
            self._heaps[key] = free
        return self._heaps[key]

    def _first_free(self, heap: list[tuple[float, str, str]]) -> float:
        """Bring the slot that is free first to the top: jobs of other queues may have booked it."""
        while True:
            at, worker, name = heap[0]
            now = self._free.get((worker, name), 0.0)
            if now == at:
                return at
            heapq.heapreplace(heap, (now, worker, name))

    def _room(self, queue: str) -> float:
        """When the queue's limit lets one more job start."""
        limit = self._known.limit(queue)
        ends = self._ends.setdefault(queue, [])
        start = 0.0
        while limit is not None and len(ends) >= limit:
            start = max(start, heapq.heappop(ends))
        return start

    def _book(self, heap: list[tuple[float, str, str]], job: Row[Any], start: float) -> None:
        _, worker, name = heap[0]
        end = start + self._took.of(job)
        self._free[worker, name] = end
        heapq.heapreplace(heap, (end, worker, name))
        heapq.heappush(self._ends.setdefault(job.queue, []), end)


def _averages(
    connection: Connection,
    jobs: Sequence[Row[Any]],
    column: str,
    last: Callable[[Any], Select[Any]],
) -> dict[str, float]:
    """Average durations, by the value of a column, of earlier jobs that share the value."""
    ids: dict[str, int] = {}
    for job in jobs:
        ids.setdefault(getattr(job, column), job.id)
    if not ids:
        return {}
    value = getattr(_ONE.c, column)
    average = select(func.avg(last(value).subquery().c.duration_s)).scalar_subquery()
    wanted = _ONE.c.id.in_(list(ids.values())[:MOST_JOBS])
    rows = connection.execute(select(value, average).where(wanted))
    return {value: float(average) for value, average in rows if average is not None}
