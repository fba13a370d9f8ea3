"""The trainer's ends of the two pipes: `Inbox` hears the supervisor, `Outbox` answers."""

import os
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from pydantic import ValidationError

from fornada.worker.messages import (
    EpochReport,
    Failed,
    Finished,
    Started,
    Stop,
    Stopped,
    Train,
    WhyStop,
    decode_down,
    encode,
)

# A specification is at most 256 KiB as text; its effective form with every default stays far
# below this many bytes.
_LONGEST_LINE = 16 * 1024 * 1024
# What a pipe holds, in bytes.
_READ_BYTES = 64 * 1024
# Exit status of a trainer whose supervisor is gone or speaks nonsense.
EXIT_ABANDONED = 3


class StopAsked(Exception):  # no error: what the supervisor asked for
    """The supervisor wants the job to end."""

    def __init__(self, reason: WhyStop) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Asked:
    """Whether, and why, the supervisor asked to stop. Set by one thread, read by another."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = WhyStop.CANCEL

    def ask(self, reason: WhyStop) -> None:
        """Ask the training to stop. The first reason stands."""
        if not self._event.is_set():
            self._reason = reason
            self._event.set()

    def check(self) -> None:
        """Called between any two steps of work.

        Raises:
            StopAsked: the supervisor asked.
        """
        self.wait(0.0)

    def wait(self, time_s: float) -> None:
        """Do nothing for a time.

        Raises:
            StopAsked: the supervisor asked, before or meanwhile.
        """
        if self._event.wait(time_s):
            raise StopAsked(self._reason)


@dataclass(frozen=True)
class Assignment:
    """A job to train, and whether the supervisor still wants that."""

    job: Train
    asked: Asked = field(default_factory=Asked)

    def hear(self, stop: Stop) -> None:
        """Take a stop that is for this attempt; one that came too late for another is dropped."""
        if (stop.job_id, stop.attempt) == (self.job.job_id, self.job.attempt):
            self.asked.ask(stop.reason)


class Inbox:
    """Reads the down pipe in a thread of its own, from before Keras is imported.

    The end of the pipe ends the process at once, whatever it is doing: nobody is left to
    tell, and another attempt may already own the job.

    Args:
        fd: the read end of the down pipe.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._orders: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self._over = threading.Event()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def order(self) -> Assignment:
        """Wait for the next job to train."""
        return self._orders.get()

    def let_go(self) -> None:
        """The last verdict is due: a supervisor that hangs up once it has it ends nothing."""
        self._over.set()

    def _read(self) -> None:
        order: Assignment | None = None
        for line in self._lines():
            try:
                message = decode_down(line)
            except ValidationError as error:
                _leave(f"the supervisor sent what is no message: {error.error_count()} errors")
            if isinstance(message, Train):
                order = Assignment(message)
                self._orders.put(order)
            elif order is not None:
                order.hear(message)
        if not self._over.is_set():
            _leave("the supervisor closed the pipe")

    def _lines(self) -> Iterator[bytes]:
        # Not sys.stdin: a thread that waits in it when the interpreter ends aborts the process.
        rest = b""
        while chunk := os.read(self._fd, _READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_LINE:
                _leave("the supervisor sent a line without end")


class Outbox:
    """Writes messages to the up pipe, one line each."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # What this process starts must not keep the pipe open after its end.
        os.set_inheritable(fd, False)

    def tell(self, message: Started | EpochReport | Finished | Stopped | Failed) -> None:
        """Send a message. Ends the process when nobody reads any more."""
        rest = memoryview(encode(message))
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BrokenPipeError:
            _leave("the supervisor reads no more")


def _leave(reason: str) -> NoReturn:
    """End the process from any thread, without waiting for native code to return."""
    print(f"trainer: {reason}", file=sys.stderr, flush=True)
    os._exit(EXIT_ABANDONED)
