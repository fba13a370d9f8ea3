"""Wait for what a test expects, and show the last state seen when it never comes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    condition: Callable[[], T], timeout_s: float, *, saw: Callable[[], object] | None = None
) -> T:
    """Return the first true value of `condition`, asked every 20 ms.

    Raises:
        AssertionError: after `timeout_s`, with the last value and what `saw` returns.
    """
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            seen = f"; saw {saw()!r}" if saw else ""
            raise AssertionError(f"not within {timeout_s} s; last value {value!r}{seen}")
        time.sleep(0.02)
