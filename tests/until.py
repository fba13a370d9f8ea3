"""Wait for what a test expects, and show the last state seen when it never comes."""

import time
from collections.abc import Callable
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TypeVar

T = TypeVar("T")

# Seconds between two looks: ten times what a look costs (a query, a walk through all processes, a
# command), within these. Else the looks would be half of what a test costs.
PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.25
PAUSES_PER_LOOK = 10


def until(
    condition: Callable[[], T], timeout_s: float, *, saw: Callable[[], object] | None = None
) -> T:
    """Return the first true value of `condition`, asked every 20 to 250 ms.

    Raises:
        AssertionError: after `timeout_s`, with the last value and what `saw` returns.
    """
    end = time.monotonic() + timeout_s
    while True:
        before_s = _spent_s()
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            seen = f"; saw {saw()!r}" if saw else ""
            raise AssertionError(f"not within {timeout_s} s; last value {value!r}{seen}")
        look_s = _spent_s() - before_s
        time.sleep(min(max(PAUSE_S, PAUSES_PER_LOOK * look_s), LONGEST_PAUSE_S))


def _spent_s() -> float:
    """Processor time of this process and of the commands that it has waited for."""
    return sum(
        used.ru_utime + used.ru_stime for used in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN))
    )
