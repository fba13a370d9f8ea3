"""What the parent does when a Celery process hangs: log it, ask it to drain, then kill it."""

import logging
import os
import signal
import time

from fornada.worker.host import heartbeat_file
from fornada.worker.host.hang_detection import SILENT_S, HangDetector
from fornada.worker.host.heartbeat_file import Beat

log = logging.getLogger("fornada.worker")

# Extra time for a draining process: after its grace, and after its last job has ended.
EXTRA_S = 10.0
# Time for a process that sends no heartbeat. It cannot drain, so it gets less.
DEAF_S = 5.0


class HangGuard:
    """Watches one Celery process, and ends it when it hangs.

    Args:
        child: its process id; the parent has not waited for it yet.
        descriptor: descriptor of its heartbeat file.
    """

    def __init__(self, child: int, descriptor: int) -> None:
        self._child = child
        self._descriptor = descriptor
        self._detector = HangDetector()
        self._looked = time.monotonic()
        # When to kill a process that was told to drain; None while it has not been told.
        self._kill_at: float | None = None
        # When the process last ran a job.
        self._busy = self._looked

    def look(self) -> None:
        """Check the process and do what is due; call it about once a second."""
        now = time.monotonic()
        passed_s = now - self._looked
        self._looked = now
        beat = heartbeat_file.read(self._descriptor)
        if beat is not None and beat.pid != self._child:
            # The previous Celery process wrote it.
            beat = None
        if beat is None or beat.jobs:
            self._busy = now
        if self._kill_at is None:
            self._drain_if_hung(beat, passed_s)
        elif now > self._kill_at or now > self._busy + EXTRA_S:
            log.error("the Celery process (%d) does not end; killing it", self._child)
            os.killpg(self._child, signal.SIGKILL)
            self._kill_at = self._busy = now + DEAF_S

    def _drain_if_hung(self, beat: Beat | None, passed_s: float) -> None:
        what_hangs = self._detector.look(beat, passed_s)
        if what_hangs is None:
            return
        now = self._busy = time.monotonic()
        # Only a process that still sends heartbeats can save its jobs.
        alive = beat is not None and now - beat.at < SILENT_S
        self._kill_at = now + (beat.grace_s + EXTRA_S if beat and alive else DEAF_S)
        log.error("the Celery process (%d) hangs: %s; it is started again", self._child, what_hangs)
        os.kill(self._child, signal.SIGTERM)
