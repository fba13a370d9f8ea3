"""The factory: a process that has imported Keras, but not used it, and forks trainers.

For each trainer the worker sends a request over a socket: the trainer's own environment variables
as JSON, and as descriptors its two pipes and its slot's lock. The factory answers with one number:
0 once it can fork; then, for each request, the trainer's process id, or an `errno` with a minus
sign.

A trainer is not a child of the factory. The factory forks a process between them, which forks the
trainer and ends at once. Then the worker adopts the trainer. So the worker can wait for the
trainer, and the trainer survives the end of the factory.
"""

import errno
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from fornada.worker import prctl
from fornada.worker.messages import FORK_ANSWER, READY

# Most bytes of a request, which holds a few variables.
LONGEST_REQUEST = 2**16
# Descriptors in a request: the trainer's ends of the down pipe and the up pipe, the slot's lock.
_DESCRIPTORS = 3


@dataclass(frozen=True)
class Pipes:
    """A trainer's ends of its two pipes."""

    down: int
    up: int


def trainers(descriptor: int) -> Pipes:
    """Fork a trainer for each request. Returns only in the trainers, never in the factory.

    Args:
        descriptor: descriptor of the socket to the worker, which is the parent of this process.
    Returns:
        The pipes of the trainer that this process has become.
    Raises:
        SystemExit: in a trainer, when the worker has ended.
    """
    worker = os.getppid()
    prctl.name("fornada-factory")
    connection = socket.socket(fileno=descriptor)
    _answer(connection, READY)
    while True:
        request, descriptors = _next(connection)
        try:
            pid = _fork_for_worker(worker)
        except OSError as exc:
            pid = -(exc.errno or errno.EAGAIN)
        if pid == 0:
            connection.close()
            return _begin(request, *descriptors)
        _close(descriptors)
        _answer(connection, pid)


def _next(connection: socket.socket) -> tuple[dict[str, str], list[int]]:
    """Wait for the next request. Ends this process when the worker has closed the socket."""
    data, descriptors, _, _ = socket.recv_fds(
        connection, LONGEST_REQUEST, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    if not data:
        _end(0)
    request: dict[str, str] = json.loads(data)
    return request, descriptors


def _begin(variables: dict[str, str], down: int, up: int, lock: int) -> Pipes:
    os.environ.update(variables)
    # Processes that the trainer starts hold the slot, too.
    os.set_inheritable(lock, True)
    return Pipes(down, up)


def _fork_for_worker(worker: int) -> int:
    """Fork a process that the worker adopts. It leads a session, and is killed with the worker.

    Returns:
        Its process id; 0 in the new process.
    Raises:
        OSError: the host cannot start another process, or the new one ended at once.
    """
    ends = born, tell_born, parted, hold_parted = *os.pipe(), *os.pipe()
    try:
        between = os.fork()
    except OSError:
        _close(ends)
        raise
    if between == 0:
        if _fork_or_end() != 0:
            _end(0)
        os.close(hold_parted)
        # The factory closes its end of this pipe when the process between has ended. From then on
        # the worker is this process's parent.
        os.read(parted, 1)
        os.setsid()
        prctl.die_with(worker)
        prctl.name("fornada-trainer")
        os.write(tell_born, FORK_ANSWER.pack(os.getpid()))
        _close((born, tell_born, parted))
        return 0
    _, status = os.waitpid(between, 0)
    _close((tell_born, parted, hold_parted))
    pid = os.read(born, FORK_ANSWER.size)
    os.close(born)
    if not pid:
        raise OSError(os.waitstatus_to_exitcode(status) or errno.ECHILD, "no trainer was forked")
    return int(FORK_ANSWER.unpack(pid)[0])


def _fork_or_end() -> int:
    try:
        return os.fork()
    except OSError as exc:
        _end(exc.errno or errno.EAGAIN)


def _close(descriptors: Iterable[int]) -> None:
    for each in descriptors:
        os.close(each)


def _answer(connection: socket.socket, number: int) -> None:
    try:
        connection.send(FORK_ANSWER.pack(number))
    except BrokenPipeError:
        _end(0)


def _end(status: int) -> NoReturn:
    """End without Python's exit handlers, which are meant for a process that has used Keras."""
    os._exit(status)
