"""What the parent does about a Celery process that hangs: says so, has it drained, kills it."""

import logging
import os
import signal
import time

from worker import pulse
from worker.watch import SILENT_S, Watch

log = logging.getLogger("fornada.worker")

# Seconds beyond its grace that a process which drains may take.
EXTRA_S = 10.0
# What does not stir cannot drain: it is not waited for so long.
DEAF_S = 5.0


class Nurse:
    """Looks after one Celery process.

    Args:
        child: its process id; the parent has not collected it.
        descriptor: of the file that holds its pulse.
    """

    def __init__(self, child: int, descriptor: int) -> None:
        self._child = child
        self._descriptor = descriptor
        self._watch = Watch()
        self._looked = time.monotonic()
        # When a process that was told to drain is killed.
        self._until: float | None = None

    def look(self) -> None:
        """Do what is due; call it about each second."""
        now = time.monotonic()
        passed_s, self._looked = now - self._looked, now
        if self._until is None:
            self._examine(passed_s)
        elif now > self._until:
            log.error("the Celery process (%d) does not end; killing it", self._child)
            os.killpg(self._child, signal.SIGKILL)
            self._until = now + DEAF_S

    def _examine(self, passed_s: float) -> None:
        shown = pulse.read(self._descriptor)
        if shown is not None and shown.pid != self._child:
            # Of the one before.
            shown = None
        ill = self._watch.look(shown, passed_s)
        if ill is None:
            return
        patience_s = DEAF_S
        # Only a process that still stirs can have its jobs saved.
        if shown is not None and time.monotonic() - shown.at < SILENT_S:
            patience_s = EXTRA_S + (shown.grace_s if shown.jobs else 0.0)
        log.error("the Celery process (%d) hangs: %s; it is started again", self._child, ill)
        os.kill(self._child, signal.SIGTERM)
        self._until = time.monotonic() + patience_s
