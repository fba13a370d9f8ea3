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

# Threads in addition to one a core, because some wait for a slow disk or network.
_WAITING = 2
# A file that takes longer than this to arrive does not come from memory.
_SLOW_S = 5e-5
# How many files of a turn are timed.
_TIMED = 16
# While files are slow, one turn in so many is still taken alone, to measure whether they still are.
ALONE = 64
# How often `check` is called while waiting for the threads.
_CHECK_S = 0.2


def in_threads(
    work: Callable[[range], int],
    ranges: Iterator[range],
    check: Callable[[], None],
    *,
    most: int | None = None,
) -> Iterator[int]:
    """Run `work` on each range in threads: one a core, and a few more for slow disks.

    Args:
        work: the work on one range.
        ranges: the ranges.
        check: called several times a second; an exception from it ends the work.
        most: largest number of threads.
    Returns:
        The results of `work`, in the order of the ranges.
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
    """All positions up to `count`, cut into ranges of at most `most`."""
    return (range(start, min(start + most, count)) for start in range(0, count, most))


class Turns:
    """Lets only one thread read at a time while files come from memory; the others decode.

    Reading from memory is work of the Python interpreter, and threads that share the interpreter
    take twice the time. When files come from a slow disk or network, all threads read at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slow = False
        self._taken = itertools.count()

    @contextmanager
    def take(self) -> Iterator[Callable[[], None]]:
        """Read files inside this context, and call the function that it gives after each file."""
        if self._slow and next(self._taken) % ALONE:
            yield lambda: None
            return
        clock: list[float] = []

        def one_more() -> None:
            if len(clock) <= _TIMED:
                clock.append(_waited())

        with self._lock:
            one_more()
            yield one_more
            # The median, because a few files may have waited for another thread.
            waits = [after - before for before, after in itertools.pairwise(clock)]
            self._slow = bool(waits) and median(waits) > _SLOW_S


def _waited() -> float:
    """Seconds that this thread has waited, counted from an arbitrary moment."""
    return time.monotonic() - time.thread_time()
