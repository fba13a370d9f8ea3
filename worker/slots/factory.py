"""The factory: one process that has imported Keras, and has trainers forked from it.

It is the worker's child and so are its trainers: see `fornada.worker.trainer.process.forking`,
which does its part.
"""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fornada.worker import prctl
from fornada.worker.messages import FORK_ANSWER, READY
from fornada.worker.slots.exit_status import ExitStatus
from fornada.worker.slots.trainer_process import Trainer

log = logging.getLogger("fornada.worker")

# Seconds for a fork, which takes a tenth of one; a factory that takes more is taken to hang.
FORK_S = 30.0
# Adopting is a switch of this process: whoever turns it off must not do so while another forks.
_forks = threading.Lock()


class FactoryEnded(Exception):  # it says how the factory ended
    """The factory ended before it had forked what it was asked for."""

    def __init__(self, end: ExitStatus) -> None:
        super().__init__(str(end))
        self.exit = end


class Factory:
    """A process from which trainers are forked. Used by many threads.

    Args:
        command: that starts it; is given the descriptor of its socket.
        environment: of its trainers, but for what each has of its own.
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
                    # Ctrl-C is for the worker.
                    start_new_session=True,
                )
        except OSError:
            self._socket.close()
            raise
        self.pid = self._process.pid
        self._ready = False
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ready(self, timeout_s: float) -> bool:
        """Whether it can fork by now; waits so long at most.

        Raises:
            FactoryEnded: it never will.
        """
        if not self._ready:
            self._wait(timeout_s)
        with self._lock:
            if not self._ready and self._wait(0.0):
                self._ready = self._answer() == READY
            return self._ready

    def fork(self, variables: Mapping[str, str], descriptors: Sequence[int]) -> int:
        """Fork a trainer, once the factory is ready; a child of this process.

        Args:
            variables: of its environment, in place of the factory's.
            descriptors: its ends of the pipes down and up, and its slot's lock.
        Returns:
            Its process id.
        Raises:
            OSError: the host has no room for another process.
            FactoryEnded: it ended, or hung and was killed.
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
        """Fork a trainer; as `fork`, on new pipes.

        Args:
            variables: of its environment, in place of the factory's.
            lock: descriptor of its slot's lock.
        """
        theirs_down, down = os.pipe()
        up, theirs_up = os.pipe()
        try:
            pid = self.fork(variables, [theirs_down, theirs_up, lock])
        except (OSError, FactoryEnded):
            os.close(down)
            os.close(up)
            raise
        finally:
            os.close(theirs_down)
            os.close(theirs_up)
        return Trainer(pid, down, up)

    def close(self) -> ExitStatus:
        """End it; its trainers stay. Harmless when it has ended."""
        with self._lock:
            return self._kill()

    def _answer(self) -> int:
        try:
            told = self._socket.recv(FORK_ANSWER.size)
        except OSError:
            # It ended with something unread, or another thread has closed the socket since.
            told = b""
        if not told:
            raise FactoryEnded(self._kill())
        return int(FORK_ANSWER.unpack(told)[0])

    def _wait(self, timeout_s: float) -> bool:
        """Whether there is an answer, or will be none."""
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
    """Meanwhile this process adopts what its descendants leave; then whoever did so before."""
    with _forks:
        prctl.adopt_orphans()
        try:
            yield
        finally:
            prctl.leave_orphans()
