"""The factory: one process that has imported Keras, and from which trainers are forked.

The factory and the trainers are all children of the worker. This module is the worker's side;
`fornada.worker.trainer.process.forking` is the factory's side.
"""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fornada.worker import prctl
from fornada.worker.messages import FORK_ANSWER, READY
from fornada.worker.slots.exit_status import ExitStatus
from fornada.worker.slots.trainer_process import Trainer

log = logging.getLogger("fornada.worker")

# A fork takes a tenth of a second. A factory that takes longer than this hangs.
FORK_S = 30.0
# Importing Keras takes seconds, and perhaps minutes from a cold disk on a busy host. A factory that
# takes longer than this hangs.
IMPORT_S = 300.0
# `prctl.adopt_orphans` holds for the whole process, so no thread may undo it while another forks.
_forks = threading.Lock()


class FactoryEnded(Exception):
    """The factory ended before it had forked the requested trainer."""

    def __init__(self, end: ExitStatus) -> None:
        super().__init__(str(end))
        self.exit = end


class Factory:
    """A process from which trainers are forked. Many threads may use it.

    Args:
        command: command that starts it; the descriptor of its socket is appended.
        environment: environment of all its trainers, without the variables of each one.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, "--factory-fd", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    env=dict(environment),
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C must reach only the worker.
                    start_new_session=True,
                )
        except OSError:
            self._socket.close()
            raise
        self.pid = self._process.pid
        self._started = time.monotonic()
        self._ready = False
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ready(self, timeout_s: float) -> bool:
        """Wait until it can fork.

        Args:
            timeout_s: longest wait in seconds.
        Returns:
            Whether it can fork now.
        Raises:
            FactoryEnded: the process has ended, or hung and was killed.
        """
        if not self._ready:
            self._wait(timeout_s)
        with self._lock:
            if not self._ready and self._wait(0.0):
                self._ready = self._answer() == READY
            if not self._ready and time.monotonic() - self._started > IMPORT_S:
                log.error("the factory (%d) hangs while it imports Keras; killing it", self.pid)
                raise FactoryEnded(self._kill())
            return self._ready

    def fork(self, variables: Mapping[str, str], descriptors: Sequence[int]) -> int:
        """Fork a trainer, which becomes a child of this process. Call it once `ready`.

        Args:
            variables: variables that replace those of the factory's environment.
            descriptors: the trainer's ends of the pipes down and up, and its slot's lock.
        Returns:
            The trainer's process id.
        Raises:
            OSError: the host cannot start another process.
            FactoryEnded: the factory ended, or hung and was killed.
        """
        request = json.dumps(dict(variables)).encode()
        with self._lock, _adopting():
            try:
                socket.send_fds(self._socket, [request], descriptors)
            except OSError as exc:
                raise FactoryEnded(self._kill()) from exc
            if not self._wait(FORK_S):
                log.error("the factory (%d) hangs; killing it", self.pid)
                raise FactoryEnded(self._kill())
            pid = self._answer()
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def trainer(self, variables: Mapping[str, str], lock: int) -> Trainer:
        """Make two pipes and fork a trainer that uses them.

        Args:
            variables: variables that replace those of the factory's environment.
            lock: descriptor of its slot's lock.
        Raises:
            OSError: as in `fork`.
            FactoryEnded: as in `fork`.
        """
        trainer_down, down = os.pipe()
        up, trainer_up = os.pipe()
        try:
            pid = self.fork(variables, [trainer_down, trainer_up, lock])
        except (OSError, FactoryEnded):
            os.close(down)
            os.close(up)
            raise
        finally:
            os.close(trainer_down)
            os.close(trainer_up)
        return Trainer(pid, down, up)

    def close(self) -> ExitStatus:
        """Kill the factory, not its trainers. Does nothing when it has ended."""
        with self._lock:
            return self._kill()

    def _answer(self) -> int:
        try:
            answer = self._socket.recv(FORK_ANSWER.size)
        except OSError:
            # The factory ended with a request unread, or another thread has closed the socket.
            answer = b""
        if not answer:
            raise FactoryEnded(self._kill())
        return int(FORK_ANSWER.unpack(answer)[0])

    def _wait(self, timeout_s: float) -> bool:
        """Wait for an answer or for the end of the socket; whether either has come."""
        if self._socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _kill(self) -> ExitStatus:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._socket.close()
        return ExitStatus(self._process.wait(), out_of_memory=False)


@contextmanager
def _adopting() -> Iterator[None]:
    """Have this process adopt orphaned descendants, so that a forked trainer becomes its child."""
    with _forks:
        prctl.adopt_orphans()
        try:
            yield
        finally:
            prctl.leave_orphans()
