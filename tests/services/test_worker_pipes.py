"""What a supervisor hears of a trainer whose end it notices late."""

import os
import sys
from contextlib import suppress

from fornada.worker.messages import Stopped, WhyStop, encode
from fornada.worker.slots.trainer_process import Trainer, Up

LAST = Stopped(reason=WhyStop.DRAIN, best=None, files=[])
# Once it may, says its last word and ends.
PROGRAM = f"import os, sys; os.read(0, 1); os.write(1, {encode(LAST)!r})"


class Overtaken(Trainer):
    """A trainer that ends just before somebody looks whether it runs."""

    @property
    def running(self) -> bool:
        """Whether it runs; it does not any more."""
        if self.exit is None:
            with suppress(BrokenPipeError):
                os.write(self._down, b"\n")
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return super().running


def test_the_last_word_of_a_trainer_is_heard_that_ended_while_nobody_looked() -> None:
    (theirs_down, down), (up, theirs_up) = os.pipe(), os.pipe()
    moves = [(os.POSIX_SPAWN_DUP2, theirs_down, 0), (os.POSIX_SPAWN_DUP2, theirs_up, 1)]
    command = [sys.executable, "-c", PROGRAM]
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=moves, setsid=True)
    os.close(theirs_down)
    os.close(theirs_up)
    heard: list[Up] = []
    with Overtaken(pid, down, up) as trainer:
        while not trainer.silent:
            heard += trainer.listen(0.01)

    assert heard == [LAST]
