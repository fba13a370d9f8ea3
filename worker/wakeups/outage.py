"""Logs once that Redis does not work, and once that it works again."""

import logging
import threading

log = logging.getLogger("fornada.worker")


class Outage:
    """What does not work at present. Threads of a worker report it, each about its own part.

    Redis may refuse one command and accept another, so it works only when no part has failed.
    """

    def __init__(self) -> None:
        self._failed: set[str] = set()
        self._lock = threading.Lock()

    def failed(self, part: str, reason: str) -> None:
        """Report that a part does not work; `reason` is logged if all worked before."""
        with self._lock:
            if not self._failed:
                log.warning("the broker does not work: %s", reason)
            self._failed.add(part)

    def worked(self, part: str) -> None:
        """Report that a part works."""
        with self._lock:
            if self._failed == {part}:
                log.info("the broker works again")
            self._failed.discard(part)
