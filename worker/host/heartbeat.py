"""Writes the heartbeat of a Celery process each second, in a thread that waits for no other."""

import logging
import os
import threading
import time
from collections.abc import Callable

from fornada.worker.host import heartbeat_file
from fornada.worker.host.heartbeat_file import Beat, Doing

log = logging.getLogger("fornada.worker")

# Seconds between two heartbeats.
PERIOD_S = 1.0


class Heartbeat:
    """Collects the state of the process, which other threads report, and writes it.

    Args:
        descriptor: descriptor of the heartbeat file, from `heartbeat_file.take`.
        grace_s: how long the process may take to drain.
        upkeep_s: seconds between two rounds of upkeep.
    """

    def __init__(self, descriptor: int, *, grace_s: float, upkeep_s: float) -> None:
        # The last heartbeat of the previous process of this name; None when it left no heartbeat.
        self.before = heartbeat_file.read(descriptor)
        self._descriptor = descriptor
        self._grace_s = grace_s
        self._upkeep_s = upkeep_s
        self._doing = Doing.STARTING
        self._loop: float | None = None
        self._beat: float | None = None
        self._slots: Callable[[], tuple[int, float | None]] = lambda: (0, None)
        self._error_logged = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def close(self) -> None:
        """Stop writing. The last heartbeat stays in the file."""
        self._closed.set()

    def begin(self, slots: Callable[[], tuple[int, float | None]]) -> None:
        """Report that the worker has its slots; `slots` is `Supervisors.slot_state`."""
        self._slots = slots
        self._doing = Doing.CONNECTING
        self.round_ended()

    def round_ended(self) -> None:
        """Report that upkeep has ended a round."""
        self._beat = time.monotonic()

    def connected(self) -> None:
        """Report that Celery's loop is connected to Redis."""
        self.loop_ran()
        self._set_doing(Doing.CONSUMING)

    def loop_ran(self) -> None:
        """Report that Celery's loop runs and does not hang."""
        self._loop = time.monotonic()

    def disconnected(self) -> None:
        """Report that Celery's loop has lost its connection to Redis."""
        self._set_doing(Doing.CONNECTING)
        self._loop = None

    @property
    def connecting(self) -> bool:
        """Whether Celery's loop has no connection to Redis; then upkeep pings Redis."""
        return self._doing is Doing.CONNECTING

    def broker(self, answers: bool) -> None:
        """Report whether Redis answered upkeep while the loop is not connected."""
        if self._doing is Doing.CONNECTING:
            self._loop = (self._loop or time.monotonic()) if answers else None

    def draining(self) -> None:
        """Report that the process drains: it takes no more jobs."""
        self._doing = Doing.DRAINING

    def _set_doing(self, doing: Doing) -> None:
        # A drain also closes the connection, but remains a drain.
        if self._doing is not Doing.DRAINING:
            self._doing = doing

    def _run(self) -> None:
        while True:
            try:
                heartbeat_file.write(self._descriptor, self._now())
            except OSError as exc:
                if not self._error_logged:
                    log.warning("cannot write the heartbeat: %s", exc)
                self._error_logged = True
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
