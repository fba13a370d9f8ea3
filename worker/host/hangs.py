"""What the parent does about a Celery process that hangs: says so, has it drained, kills it."""

import logging
import os
import signal
import time

from fornada.worker.host import heartbeat_file
from fornada.worker.host.hang_detection import SILENT_S, HangDetector
from fornada.worker.host.heartbeat_file import Beat

log = logging.getLogger("fornada.worker")

# Seconds that a process which drains may take beyond its grace, or when its jobs have ended.
EXTRA_S = 10.0
# What does not stir cannot drain: it is not waited for so long.
DEAF_S = 5.0


class HangGuard:
    """Looks after one Celery process.

    Args:
        child: its process id; the parent has not collected it.
        descriptor: of the file that holds its pulse.
    """

    def __init__(self, child: int, descriptor: int) -> None:
        self._child = child
        self._descriptor = descriptor
        self._watch = HangDetector()
        self._looked = time.monotonic()
        # When a process that was told to drain is killed, and when it last ran a job.
        self._until: float | None = None
        self._busy = self._looked

    def look(self) -> None:
        """Do what is due; call it about each second."""
        now = time.monotonic()
        passed_s, self._looked = now - self._looked, now
        shown = heartbeat_file.read(self._descriptor)
        if shown is not None and shown.pid != self._child:
            # Of the one before.
            shown = None
        if shown is None or shown.jobs:
            self._busy = now
        if self._until is None:
            self._examine(shown, passed_s)
        elif now > self._until or now > self._busy + EXTRA_S:
            log.error("the Celery process (%d) does not end; killing it", self._child)
            os.killpg(self._child, signal.SIGKILL)
            self._until = self._busy = now + DEAF_S

    def _examine(self, shown: Beat | None, passed_s: float) -> None:
        ill = self._watch.look(shown, passed_s)
        if ill is None:
            return
        now = self._busy = time.monotonic()
        # Only a process that still stirs can have its jobs saved.
        stirs = shown is not None and now - shown.at < SILENT_S
        self._until = now + (shown.grace_s + EXTRA_S if shown and stirs else DEAF_S)
        log.error("the Celery process (%d) hangs: %s; it is started again", self._child, ill)
        os.kill(self._child, signal.SIGTERM)
