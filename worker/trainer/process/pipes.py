"""The trainer's ends of the two pipes: `Inbox` reads from the supervisor, `Outbox` writes to it."""

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

# Longest line in bytes. A spec has at most 256 KiB as text; its effective document with every
# default is far shorter than this.
_LONGEST_LINE = 16 * 1024 * 1024
# Capacity of a pipe in bytes.
_READ_BYTES = 64 * 1024
# Exit status of a trainer whose supervisor has ended or sends invalid messages.
EXIT_ABANDONED = 3


class StopAsked(Exception):  # not an error, so its name does not end in Error
    """The supervisor has asked the job to stop."""

    def __init__(self, reason: WhyStop) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StopRequest:
    """Whether and why the supervisor asked the job to stop. One thread sets it, others read it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = WhyStop.CANCEL

    def ask(self, reason: WhyStop) -> None:
        """Ask the training to stop. Only the first reason counts."""
        if not self._event.is_set():
            self._reason = reason
            self._event.set()

    def check(self) -> None:
        """Stop here if the supervisor asked. Call it between any two steps of work.

        Raises:
            StopAsked: the supervisor has asked.
        """
        self.wait(0.0)

    def wait(self, time_s: float) -> None:
        """Wait for a time, or until the supervisor asks.

        Raises:
            StopAsked: the supervisor has asked, before or during the wait.
        """
        if self._event.wait(time_s):
            raise StopAsked(self._reason)


@dataclass(frozen=True)
class Assignment:
    """A job to train, and whether the supervisor has asked it to stop."""

    job: Train
    stop_request: StopRequest = field(default_factory=StopRequest)

    def hear(self, stop: Stop) -> None:
        """Handle a `stop`. Ignore it if it names another attempt: it came too late for that one."""
        if (stop.job_id, stop.attempt) == (self.job.job_id, self.job.attempt):
            self.stop_request.ask(stop.reason)


class Inbox:
    """Reads the down pipe in a thread of its own.

    When the pipe is closed, the process ends at once, whatever it is doing: the supervisor has
    ended, and another attempt may already own the job.

    Args:
        fd: the read end of the down pipe.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._assignments: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self._over = threading.Event()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def assignment(self) -> Assignment:
        """Wait for the next job to train."""
        return self._assignments.get()

    def expect_close(self) -> None:
        """Do not end the process when the pipe is closed. Call it before the last message."""
        self._over.set()

    def _read(self) -> None:
        assignment: Assignment | None = None
        for line in self._lines():
            try:
                message = decode_down(line)
            except ValidationError as error:
                _leave(f"the supervisor sent an invalid message: {error.error_count()} errors")
            if isinstance(message, Train):
                assignment = Assignment(message)
                self._assignments.put(assignment)
            elif assignment is not None:
                assignment.hear(message)
        if not self._over.is_set():
            _leave("the supervisor closed the pipe")

    def _lines(self) -> Iterator[bytes]:
        # Not sys.stdin: Python aborts at exit if a thread waits in it.
        rest = b""
        while chunk := os.read(self._fd, _READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_LINE:
                _leave(f"the supervisor sent a line of more than {_LONGEST_LINE} bytes")


class Outbox:
    """Writes messages to the up pipe, one line each."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # Child processes of the trainer must not keep the pipe open after its end.
        os.set_inheritable(fd, False)

    def tell(self, message: Started | EpochReport | Finished | Stopped | Failed) -> None:
        """Send a message. Ends the process when the supervisor has closed the pipe."""
        rest = memoryview(encode(message))
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BrokenPipeError:
            _leave("the supervisor does not read any more")


def _leave(reason: str) -> NoReturn:
    """End the process from any thread, without waiting for native code to return."""
    print(f"trainer: {reason}", file=sys.stderr, flush=True)
    os._exit(EXIT_ABANDONED)
