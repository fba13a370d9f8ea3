"""A trainer process: messages over two pipes, signals to its process group.

`fornada.worker.slots.trainers` decides when one is forked; `fornada.worker.slots.factory` forks it.
"""

import logging
import os
import select
import signal
import time
from typing import Self

from pydantic import ValidationError

from fornada.worker.control_groups import TrainerGroup
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

# Longest message: the confusion matrix of 1,000 classes has some megabytes.
LONGEST_LINE_BYTES = 64 * 2**20
READ_BYTES = 2**16
# Longest time that a trainer needs to exit after its last message or after closing its pipe.
EXIT_S = 10.0
# Seconds between two checks whether the trainer has exited.
POLL_S = 0.02


class Garbled(Exception):
    """The trainer wrote a line that is not a message. Nothing else that it writes is trusted."""


class Trainer:
    """One trainer process, a child of this process, with its two pipes and its process group.

    It runs one job at a time. Only one thread may use it at a time. As a context manager it kills
    the process at the end, unless it has been released.

    Attributes:
        pid: its process id.
        exit: how the process ended; None until it has ended.
        jobs: number of jobs that it has been given so far.
        again: whether it may take another job after the present one.
        group: its control group; None where it has none of its own.
    """

    def __init__(self, pid: int, down: int, up: int) -> None:
        """Take over a process.

        Args:
            pid: its process id.
            down: this process's end of the pipe that the trainer reads.
            up: this process's end of the pipe that the trainer writes to.
        """
        self.pid = pid
        self.exit: ExitStatus | None = None
        self.jobs = 0
        self.again = False
        self.group: TrainerGroup | None = None
        self._job: Train | None = None
        self._released = False
        self._signalled = False
        self._down = down
        self._up = up
        self._unread = b""
        self._unsent = b""
        self._closed = False
        self._oom: OomCounter | None = None
        # Writing a large spec must not block when the trainer does not read.
        os.set_blocking(down, False)

    @property
    def running(self) -> bool:
        """Whether the process still runs. Its last messages may be unread after it has ended."""
        return (
            self.exit is None
            and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        )

    def train(self, job: Train) -> None:
        """Prepare the job's message. `listen` writes it, as fast as the trainer reads."""
        self._job, self._released = job, False
        # Counted from here: processes that the kernel killed earlier say nothing about this job.
        self._oom = OomCounter.of(self.pid)
        self._unsent += encode(job)

    def stop(self, why: WhyStop) -> None:
        """Ask the trainer to stop its job."""
        if self._job is not None:
            stop = Stop(job_id=self._job.job_id, attempt=self._job.attempt, reason=why)
            self._unsent += encode(stop)

    def release(self) -> bool:
        """Let it wait for another job, unless it has ended, was signalled, or may take no more.

        Returns:
            Whether it waits. If not, the caller must end it.
        """
        self._released = self.again and self.running and not self._signalled
        return self._released

    def listen(self, timeout_s: float) -> list[Up]:
        """Wait for messages, until some arrive, the trainer closes its pipe, or time is up.

        Args:
            timeout_s: longest wait in seconds.
        Raises:
            Garbled: a line is not a message.
        """
        poll = select.poll()
        if not self._closed:
            poll.register(self._up, select.POLLIN)
        if self._unsent:
            poll.register(self._down, select.POLLOUT)
        # Check this before polling: if the trainer has ended, all its messages are in the pipe.
        ended = not self.running
        events = poll.poll(0 if ended else timeout_s * 1000)
        for descriptor, _ in events:
            if descriptor == self._up:
                self._receive()
            else:
                self._flush()
        # A process that the trainer started may keep the pipe open after the trainer's end.
        if not events and ended:
            self._closed = True
        return self._messages()

    @property
    def silent(self) -> bool:
        """Whether no more messages will come: the trainer has closed its pipe, or has ended."""
        return self._closed

    def end(self) -> ExitStatus:
        """Wait a short time for the exit, then kill what is left of the process group.

        The down pipe stays open until then, because closing it makes a trainer exit at once.

        Returns:
            How the process ended.
        """
        deadline = time.monotonic() + EXIT_S
        while self.running and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.kill()

    def kill(self) -> ExitStatus:
        """Kill the whole process group and wait for the trainer. Does nothing the second time."""
        if self.exit is None:
            # Signal before waiting: until then no other process can get this id.
            self.signal(signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            self._closed = True
            code = os.waitstatus_to_exitcode(status)
            self.exit = ExitStatus(
                code,
                out_of_memory=self._oom is not None and self._oom.rose(),
                limit_reached=self.group is not None and self.group.limit_reached(),
            )
            if self.group is not None:
                self.group.end()
            os.close(self._down)
            os.close(self._up)
        return self.exit

    def signal(self, which: signal.Signals) -> None:
        """Send a signal to the whole process group."""
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
            # The trainer has ended; its exit status says more than this error.
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
