"""Trainer processes: spoken to over pipes, ended as a group.

`fornada.worker.slots.factory` has them forked, `fornada.worker.slots.trainers` says when.
"""

import logging
import os
import select
import signal
import time
from typing import Self

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
    decode_up,
    encode,
)
from fornada.worker.slots.exit_status import ExitStatus, OomCounter

log = logging.getLogger("fornada.worker")

Up = Started | EpochReport | Finished | Stopped | Failed

# One message: a confusion matrix of 1,000 classes has some megabytes.
LONGEST_LINE_BYTES = 64 * 2**20
READ_BYTES = 2**16
# A trainer that has said its last word or closed its pipe needs no longer to exit.
EXIT_S = 10.0
POLL_S = 0.02


class Garbled(Exception):  # it says what the trainer's line was
    """The trainer wrote what is no message; it is not to be trusted any further."""


class Trainer:
    """One trainer process, a child of this one; its two pipes, and the group that it leads.

    It takes one job at a time.

    Used by one thread at a time. As a context manager it leaves no process behind, but one that
    has been released.

    Attributes:
        pid: its process id.
        exit: None until the process has ended.
        jobs: that it has been given so far.
        again: whether it may take another job after the one that it has.
    """

    def __init__(self, pid: int, down: int, up: int) -> None:
        """Take over a process.

        Args:
            pid: its process id.
            down: our end of the pipe that it reads.
            up: our end of the pipe that it writes to.
        """
        self.pid = pid
        self.exit: ExitStatus | None = None
        self.jobs = 0
        self.again = False
        self._job: Train | None = None
        self._released = False
        self._signalled = False
        self._down = down
        self._up = up
        self._unread = b""
        self._unsent = b""
        self._closed = False
        self._oom: OomCounter | None = None
        # A trainer that does not read must not block us with a large spec.
        os.set_blocking(down, False)

    @property
    def running(self) -> bool:
        """Whether the process has not ended; its last words may still be unread."""
        return (
            self.exit is None
            and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        )

    def train(self, job: Train) -> None:
        """Hand a job over; it is written when the trainer reads."""
        self._job, self._released = job, False
        # What the kernel killed before is not this job's.
        self._oom = OomCounter.of(self.pid)
        self._unsent += encode(job)

    def stop(self, why: WhyStop) -> None:
        """Ask it to stop the job that it has."""
        if self._job is not None:
            stop = Stop(job_id=self._job.job_id, attempt=self._job.attempt, reason=why)
            self._unsent += encode(stop)

    def release(self) -> bool:
        """Let it wait for another job, if it has said that it does, and nobody signalled it.

        Returns:
            Whether it waits; if not it is to be ended.
        """
        self._released = self.again and self.running and not self._signalled
        return self._released

    def listen(self, timeout_s: float) -> list[Up]:
        """Messages that came; returns early when some did or the trainer closed its pipe.

        Raises:
            Garbled: a line was no message.
        """
        poll = select.poll()
        if not self._closed:
            poll.register(self._up, select.POLLIN)
        if self._unsent:
            poll.register(self._down, select.POLLOUT)
        # Looked at first: what it said before its end is in the pipe by then, and is read.
        ended = not self.running
        events = poll.poll(0 if ended else timeout_s * 1000)
        for descriptor, _ in events:
            if descriptor == self._up:
                self._receive()
            else:
                self._flush()
        # Something that the trainer started may hold its pipe open.
        if not events and ended:
            self._closed = True
        return self._messages()

    @property
    def silent(self) -> bool:
        """Whether the trainer closed its pipe: nothing will come any more."""
        return self._closed

    def end(self) -> ExitStatus:
        """Wait shortly for the exit, kill what is left of the group, and tell how it ended.

        The pipe down stays open meanwhile: its end would be one more reason to exit.
        """
        deadline = time.monotonic() + EXIT_S
        while self.running and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.kill()

    def kill(self) -> ExitStatus:
        """Kill the whole group and collect the process; harmless when it has ended."""
        if self.exit is None:
            # Before the process is collected: its id is still its own, and so is the group.
            self.signal(signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            self._closed = True
            code = os.waitstatus_to_exitcode(status)
            self.exit = ExitStatus(code, out_of_memory=self._oom is not None and self._oom.rose())
            os.close(self._down)
            os.close(self._up)
        return self.exit

    def signal(self, which: signal.Signals) -> None:
        """Signal the whole group."""
        if self.exit is None:
            self._signalled = True
            try:
                os.killpg(self.pid, which)
            except ProcessLookupError:
                log.debug("group %d is gone", self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._released:
            self.kill()

    def _receive(self) -> None:
        data = os.read(self._up, READ_BYTES)
        self._unread += data
        if not data:
            self._closed = True

    def _flush(self) -> None:
        try:
            sent = os.write(self._down, self._unsent)
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The exit status says more than this does.
            self._unsent = b""
            return
        self._unsent = self._unsent[sent:]

    def _messages(self) -> list[Up]:
        *lines, self._unread = self._unread.split(b"\n")
        if len(self._unread) > LONGEST_LINE_BYTES:
            raise Garbled(f"a line of more than {LONGEST_LINE_BYTES} bytes")
        try:
            return [decode_up(line) for line in lines]
        except ValidationError as exc:
            raise Garbled(str(exc)) from exc
