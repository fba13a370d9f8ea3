"""Goes on asking a database that went away, for what only looks and can look again."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

from fornada.db.errors import DatabaseUnreachable

T = TypeVar("T")
# What is told of a lost connection, and of its return.
Tell = Callable[[str], None]
# Seconds between two tries; a server takes a few to restart.
PAUSE_S = 1.0


# What a driver says around the reason: whom it asked, how often, and a question to the reader.
_FAILED = re.compile(
    r'(?:port \d+|socket "[^"]*") failed: (.*?)(?= Is the server running| - host:|$)'
)


def why(error: DatabaseUnreachable) -> str:
    """Why a database does not answer, in the driver's own few words.

    >>> why(DatabaseUnreachable("db", 'connection failed: connection to server at "::1", port 9 '
    ...     "failed: Connection refused Is the server running on that host?"))
    'Connection refused'
    """
    reasons = dict.fromkeys(_FAILED.findall(error.reason))
    return "; ".join(reasons) or error.reason


def outage(error: DatabaseUnreachable) -> str:
    """What to tell a person of it: a line that says what and why, and one that says what to do."""
    if error.where.startswith("sqlite"):
        todo = "Check that the file is Fornada's, that it is yours, and that its disk has room."
    else:
        todo = "Check that it runs, and that FORNADA_DATABASE_URL names it."
    return f"The database {error.where} does not answer: {why(error)}.\n  {todo}"


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
                    said = f"lost the database ({why(error)}); trying again until it is back"
                    self._tell(said)
                self._away = True
                time.sleep(PAUSE_S)
                continue
            if self._away:
                self._tell("the database is back")
            self._away = False
            return answer
