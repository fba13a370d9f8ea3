"""Shows the pulse of a Celery process, each second, in a thread that waits for nobody."""

import logging
import os
import threading
import time
from collections.abc import Callable

from fornada.worker.host import heartbeat_file
from fornada.worker.host.heartbeat_file import Beat, Doing

log = logging.getLogger("fornada.worker")

PERIOD_S = 1.0


class Heartbeat:
    """What the pulse is made of; each part is told by the thread that knows.

    Args:
        descriptor: of the file, from `heartbeat_file.take`.
        grace_s: how long the process takes to drain.
        upkeep_s: how often upkeep is to beat.
    """

    def __init__(self, descriptor: int, *, grace_s: float, upkeep_s: float) -> None:
        # Of the process that had the name before; None when it had left none.
        self.before = heartbeat_file.read(descriptor)
        self._descriptor = descriptor
        self._grace_s = grace_s
        self._upkeep_s = upkeep_s
        self._doing = Doing.STARTING
        self._loop: float | None = None
        self._beat: float | None = None
        self._slots: Callable[[], tuple[int, float | None]] = lambda: (0, None)
        self._told_of_error = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to show it."""
        self._thread.start()

    def close(self) -> None:
        """The process ends; its last pulse stays."""
        self._closed.set()

    def begin(self, slots: Callable[[], tuple[int, float | None]]) -> None:
        """The process has slots; `slots` tells how many run, and when the last idle one looked."""
        self._slots = slots
        self._doing = Doing.CONNECTING
        self.beaten()

    def beaten(self) -> None:
        """Upkeep has ended a round."""
        self._beat = time.monotonic()

    def connected(self) -> None:
        """Celery's loop is about to turn."""
        self.turned()
        self._is(Doing.CONSUMING)

    def turned(self) -> None:
        """Celery's loop has turned."""
        self._loop = time.monotonic()

    def disconnected(self) -> None:
        """Celery's loop has lost Redis."""
        self._is(Doing.CONNECTING)
        self._loop = None

    @property
    def connecting(self) -> bool:
        """Whether somebody should ask whether Redis answers others."""
        return self._doing is Doing.CONNECTING

    def broker(self, answers: bool) -> None:
        """Tell what upkeep heard from Redis while the loop is not connected."""
        if self._doing is Doing.CONNECTING:
            self._loop = (self._loop or time.monotonic()) if answers else None

    def draining(self) -> None:
        """The process takes nothing any more; it ends by itself, or is ended."""
        self._doing = Doing.DRAINING

    def _is(self, doing: Doing) -> None:
        # A drain closes the connection last; it stays a drain.
        if self._doing is not Doing.DRAINING:
            self._doing = doing

    def _run(self) -> None:
        while True:
            try:
                heartbeat_file.write(self._descriptor, self._now())
            except OSError as exc:
                if not self._told_of_error:
                    log.warning("the pulse cannot be shown: %s", exc)
                self._told_of_error = True
            if self._closed.wait(PERIOD_S):
                return

    def _now(self) -> Beat:
        doing = self._doing
        jobs, look = self._slots()
        works = doing in (Doing.CONNECTING, Doing.CONSUMING)
        return Beat(
            pid=os.getpid(),
            doing=doing,
            at=time.monotonic(),
            loop=self._loop if works else None,
            beat=self._beat if works else None,
            look=look if works else None,
            jobs=jobs,
            grace_s=self._grace_s,
            upkeep_s=self._upkeep_s,
        )
