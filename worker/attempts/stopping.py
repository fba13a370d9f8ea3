"""How a trainer is stopped: first a `stop` message, then SIGTERM, then SIGKILL."""

import math
import signal
import time

from fornada.worker.messages import WhyStop
from fornada.worker.slots.trainer_process import Trainer

# Longest grace of a cancel in seconds, unless the user gives one. The user wants the slot back, and
# a trainer needs less time to save its state.
CANCEL_GRACE_S = 10.0
# Shares of the grace after which the trainer gets SIGTERM, and SIGKILL. The rest of the grace is
# for the verdict, so that a worker that drains ends within its grace.
STEPS = ((0.8, signal.SIGTERM), (0.9, signal.SIGKILL))


class Stopping:
    """Asks a trainer to stop, and sends it signals if it does not stop in time.

    Args:
        trainer: the trainer to stop.
        grace_s: how long it may take to stop by itself. For a cancel it is at most
            `CANCEL_GRACE_S`, unless the cancel itself names a grace.
    """

    def __init__(self, trainer: Trainer, grace_s: float) -> None:
        # The first reason to stop; None while the trainer need not stop.
        self.why: WhyStop | None = None
        self._trainer = trainer
        self._grace_s = grace_s
        # The last request: its reason and its grace.
        self._last_request: tuple[WhyStop, float | None] | None = None
        # When each request came, and its grace in seconds.
        self._requests: list[tuple[float, float]] = []
        # Signals that have not been sent yet.
        self._steps = list(STEPS)

    def step(self, why: WhyStop | None, grace_s: float | None = None) -> None:
        """Send the message or the signal that is due; call it often.

        Args:
            why: the reason to stop now, None to go on.
            grace_s: grace that a user gave with the cancel; 0 kills at once, None means the
                default. A later request never gives more time than an earlier one.
        """
        if why is not None and (why, grace_s) != self._last_request:
            self._add_request(why, grace_s)
        while self._steps and time.monotonic() >= self._due(self._steps[0][0]):
            self._trainer.signal(self._steps.pop(0)[1])

    def _add_request(self, why: WhyStop, grace_s: float | None) -> None:
        if self.why is None:
            self.why = why
            self._trainer.stop(why)
        self._requests.append((time.monotonic(), self._grace(why, grace_s)))
        self._last_request = (why, grace_s)

    def _due(self, share: float) -> float:
        """When a signal is due: the earliest time that any request gives."""
        return min((at + share * grace_s for at, grace_s in self._requests), default=math.inf)

    def _grace(self, why: WhyStop, grace_s: float | None) -> float:
        if why is not WhyStop.CANCEL:
            return self._grace_s
        return min(CANCEL_GRACE_S, self._grace_s) if grace_s is None else grace_s
