"""Repeats a read from the database until the database is reachable again.

Only for reads: a write could be done twice.
"""

import re
import time
from collections.abc import Callable
from typing import TypeVar

from fornada.db.errors import DatabaseUnreachable

T = TypeVar("T")
# Gets one sentence when the connection is lost, and one when it is back.
Tell = Callable[[str], None]
# Seconds between two tries. A server takes a few seconds to restart.
PAUSE_S = 1.0


# The reason in a driver's message. Before it stands the address, behind it a hint or the next
# address; a driver that tried several addresses repeats all of this.
_FAILED = re.compile(
    r'(?:port \d+|socket "[^"]*") failed: (.*?)'
    r"(?= Is the server running| Either provide| - host:|$)"
)


def why(error: DatabaseUnreachable) -> str:
    """Why a database does not answer: the driver's reason, without its addresses and hints.

    >>> why(DatabaseUnreachable("db", 'connection failed: connection to server at "::1", port 9 '
    ...     "failed: Connection refused Is the server running on that host?"))
    'Connection refused'
    """
    reasons = dict.fromkeys(_FAILED.findall(error.reason))
    return "; ".join(reasons) or error.reason


def outage(error: DatabaseUnreachable) -> str:
    """The message for a person: one line says what failed and why, a second what to do."""
    if error.file is not None:
        return f"{error.file.sentence}\n  {error.file.todo}"
    if error.where.startswith("sqlite"):
        todo = (
            "Check that the file is a database of Fornada, that you may write to it, and that its "
            "disk has free space."
        )
    else:
        todo = error.todo
    return f"The database {error.where} does not answer: {why(error)}.\n  {todo}"


def say_nothing(sentence: str) -> None:
    """A `Tell` that says nothing: the default."""


class Patience:
    """Repeats a read until the database answers.

    Args:
        tell: gets one sentence when the database is lost, and one when it is back.
        end: time of the monotonic clock, in seconds, after which an unreachable database is an
            error; None: never.
    """

    def __init__(self, tell: Tell = say_nothing, end: float | None = None) -> None:
        self._tell = tell
        self._end = end
        self._away = False

    def __call__(self, ask: Callable[[], T]) -> T:
        """Call `ask` until the database answers, and return what it returns.

        Raises:
            DatabaseUnreachable: the database was still unreachable at `end`.
        """
        while True:
            try:
                answer = ask()
            except DatabaseUnreachable as error:
                if self._end is not None and time.monotonic() >= self._end:
                    raise
                if not self._away:
                    self._tell(f"lost the database ({why(error)}); trying again until it is back")
                self._away = True
                time.sleep(PAUSE_S)
                continue
            if self._away:
                self._tell("the database is back")
            self._away = False
            return answer
