"""What a supervisor hears of a trainer whose end it notices late."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from fornada.worker.messages import Stopped, WhyStop, encode
from fornada.worker.slots import slots
from fornada.worker.slots.slots import Device
from fornada.worker.slots.trainer_process import Trainer, Up

LAST = Stopped(reason=WhyStop.DRAIN, best=None, files=[])
# Once it may, says its last word and ends.
PROGRAM = f"import os, sys; os.read(0, 1); os.write(int(sys.argv[2]), {encode(LAST)!r})"


class Overtaken(Trainer):
    """A trainer that ends just before somebody looks whether it runs."""

    @property
    def running(self) -> bool:
        """Whether it runs; it does not any more."""
        if self.exit is None:
            with suppress(BrokenPipeError):
                os.write(self._down.fileno(), b"\n")
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return super().running


def test_the_last_word_of_a_trainer_is_heard_that_ended_while_nobody_looked(tmp_path: Path) -> None:
    (slot,) = slots.take([Device("cpu", 0)], tmp_path, "one")
    heard: list[Up] = []
    with Overtaken.start([sys.executable, "-c", PROGRAM], slot, dict(os.environ)) as trainer:
        while not trainer.silent:
            heard += trainer.listen(0.01)

    assert heard == [LAST]
