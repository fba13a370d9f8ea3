"""A log that a flood of bad wake-ups cannot fill: the first lines, then how many more came."""

import logging
import threading
import time
from collections.abc import Callable

# At most so many lines in so many seconds.
LINES = 60
PERIOD_S = 60.0


class LimitedLog:
    """Writes at most `LINES` warnings in `PERIOD_S` seconds, and counts the others.

    Args:
        log: where the lines go.
        clock: the time in seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0
        self._written = 0
        self._left_out = 0

    def warning(self, message: str, *arguments: object) -> None:
        """Log a warning, or only count it."""
        with self._lock:
            self._begin_period()
            if self._written < LINES:
                self._written += 1
                self._log.warning(message, *arguments)
            else:
                self._left_out += 1

    def report(self) -> None:
        """Log how many warnings were left out, once their period is over."""
        with self._lock:
            self._begin_period()

    def _begin_period(self) -> None:
        if self._clock() < self._until:
            return
        if self._left_out:
            self._log.warning(
                "%d more wake-ups were dropped or failed, which are not logged one by one",
                self._left_out,
            )
        self._until = self._clock() + PERIOD_S
        self._written = self._left_out = 0


# What anybody who can push into a queue can cause.
BAD_WAKE_UPS = LimitedLog(logging.getLogger("fornada.worker"))
