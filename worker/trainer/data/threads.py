"""Shares the reading and decoding of many files among threads."""

import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from statistics import median

# Threads beside one a core, for files that disks and networks are slow to give.
_WAITING = 2
# Files that are waited for so long each, in seconds, do not come from memory.
_SLOW_S = 5e-5
# So many of a turn tell.
_TELLING = 16
# While files are slow, one turn in so many is taken alone, to see whether they still are.
ALONE = 64
# How long the one who waits for the threads goes without asking whether it should end.
_CHECK_S = 0.2


def in_threads(
    work: Callable[[range], int],
    ranges: Iterator[range],
    check: Callable[[], None],
    *,
    most: int | None = None,
) -> Iterator[int]:
    """What the work on each range gives, in order; one thread a core, and some for slow disks.

    Args:
        most: no more threads than these.
    """
    threads = len(os.sched_getaffinity(0)) + _WAITING
    threads = threads if most is None else min(threads, most)
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for each in ranges:
                waiting.append(pool.submit(work, each))
                if len(waiting) > 2 * threads:
                    yield _result(waiting.popleft(), check)
            while waiting:
                yield _result(waiting.popleft(), check)
        finally:
            for future in waiting:
                future.cancel()


def _result(future: Future[int], check: Callable[[], None]) -> int:
    while True:
        check()
        if wait([future], timeout=_CHECK_S).done:
            return future.result()


def spans(count: int, most: int) -> Iterator[range]:
    """All positions, cut into ranges."""
    return (range(start, min(start + most, count)) for start in range(0, count, most))


class Turns:
    """Lets one thread read at a time while files come from memory; the others decode.

    To read those is Python's own work, and threads that share it spend twice the time on handing
    it over. Where a disk or a network is slow to give files, all read at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slow = False
        self._taken = itertools.count()

    @contextmanager
    def take(self) -> Iterator[Callable[[], None]]:
        """While files are read; what it gives is to be called after each of them."""
        if self._slow and next(self._taken) % ALONE:
            yield lambda: None
            return
        clock: list[float] = []

        def one_more() -> None:
            if len(clock) <= _TELLING:
                clock.append(_waited())

        with self._lock:
            one_more()
            yield one_more
            # Most of them: a few may have waited for another thread.
            waits = [after - before for before, after in itertools.pairwise(clock)]
            self._slow = bool(waits) and median(waits) > _SLOW_S


def _waited() -> float:
    """Seconds that this thread was not busy, since an arbitrary moment."""
    return time.monotonic() - time.thread_time()
