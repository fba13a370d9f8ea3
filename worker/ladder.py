"""How a trainer is made to stop: asked, then told, then killed."""

import signal
import time

from worker.messages import Stop, WhyStop
from worker.process import Trainer

# Seconds from SIGTERM to SIGKILL; Python code ends at once, native code never.
TERM_S = 5.0
# Who cancels wants the slot back, not the last checkpoint.
CANCEL_GRACE_S = 10.0


class Ladder:
    """Climbs one step whenever the last one did not help in time.

    Args:
        trainer: to stop.
        grace_s: how long it may take to stop by itself; for a cancel at most `CANCEL_GRACE_S`.
    """

    def __init__(self, trainer: Trainer, grace_s: float) -> None:
        # The first reason to stop; None while there is none.
        self.why: WhyStop | None = None
        self._trainer = trainer
        self._grace_s = grace_s
        self._steps = [signal.SIGTERM, signal.SIGKILL]
        self._next = 0.0

    def climb(self, why: WhyStop | None) -> None:
        """Take the step that is due; call it often.

        Args:
            why: the reason to stop now, None to go on.
        """
        now = time.monotonic()
        if self.why is None:
            if why is not None:
                self.why = why
                self._trainer.send(Stop(reason=why))
                self._next = now + self._patience(why)
        elif now >= self._next and self._steps:
            self._trainer.signal(self._steps.pop(0))
            self._next = now + TERM_S

    def _patience(self, why: WhyStop) -> float:
        return min(CANCEL_GRACE_S, self._grace_s) if why is WhyStop.CANCEL else self._grace_s
