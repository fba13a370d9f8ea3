"""Goes on asking a database that went away, for what only looks and can look again."""

import time
from collections.abc import Callable
from typing import TypeVar

from db.errors import DatabaseUnreachable

T = TypeVar("T")
# What is told of a lost connection, and of its return.
Tell = Callable[[str], None]
# Seconds between two tries; a server takes a few to restart.
PAUSE_S = 1.0


def unheard(said: str) -> None:
    """For whoever does not want to know."""


class Patience:
    """Asks until there is an answer; says once that the database is away, and once that it is back.

    Args:
        tell: gets both sentences.
        end: moment of the monotonic clock after which its absence is an error again.
    """

    def __init__(self, tell: Tell = unheard, end: float | None = None) -> None:
        self._tell = tell
        self._end = end
        self._away = False

    def __call__(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, in the end.

        Raises:
            DatabaseUnreachable: it was still away at the end.
        """
        while True:
            try:
                answer = ask()
            except DatabaseUnreachable as error:
                if self._end is not None and time.monotonic() >= self._end:
                    raise
                if not self._away:
                    self._tell(f"lost the database ({error.reason}); trying again until it is back")
                self._away = True
                time.sleep(PAUSE_S)
                continue
            if self._away:
                self._tell("the database is back")
            self._away = False
            return answer
