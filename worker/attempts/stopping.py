"""How a trainer is made to stop: asked, then told, then killed."""

import math
import signal
import time

from fornada.worker.messages import WhyStop
from fornada.worker.slots.trainer_process import Trainer

# Who cancels wants the slot back; a trainer saves its state in less.
CANCEL_GRACE_S = 10.0
# Shares of the grace after which a trainer that was asked gets SIGTERM, and SIGKILL. The rest is
# for the verdict, so that a worker that drains has ended when its grace has.
STEPS = ((0.8, signal.SIGTERM), (0.9, signal.SIGKILL))


class Stopping:
    """Climbs one step whenever the last one did not help in time.

    Args:
        trainer: to stop.
        grace_s: how long it may take to stop by itself; of a cancel at most `CANCEL_GRACE_S`,
            unless whoever cancels said otherwise.
    """

    def __init__(self, trainer: Trainer, grace_s: float) -> None:
        # The first reason to stop; None while there is none.
        self.why: WhyStop | None = None
        self._trainer = trainer
        self._grace_s = grace_s
        self._heard: tuple[WhyStop, float | None] | None = None
        # When each request came, and the time it gave.
        self._requests: list[tuple[float, float]] = []
        # Those yet to be taken.
        self._steps = list(STEPS)

    def step(self, why: WhyStop | None, grace_s: float | None = None) -> None:
        """Take the step that is due; call it often.

        Args:
            why: the reason to stop now, None to go on.
            grace_s: of a cancel, as a person said it; 0 kills at once. Another request on the
                way never gives more time than the one before.
        """
        if why is not None and (why, grace_s) != self._heard:
            self._hear(why, grace_s)
        while self._steps and time.monotonic() >= self._due(self._steps[0][0]):
            self._trainer.signal(self._steps.pop(0)[1])

    def _hear(self, why: WhyStop, grace_s: float | None) -> None:
        if self.why is None:
            self.why = why
            self._trainer.stop(why)
        self._requests.append((time.monotonic(), self._patience(why, grace_s)))
        self._heard = (why, grace_s)

    def _due(self, share: float) -> float:
        """When a step is due: by whichever request gives the least time."""
        return min((at + share * time_s for at, time_s in self._requests), default=math.inf)

    def _patience(self, why: WhyStop, grace_s: float | None) -> float:
        if why is not WhyStop.CANCEL:
            return self._grace_s
        return min(CANCEL_GRACE_S, self._grace_s) if grace_s is None else grace_s
