"""Forks trainers from a process that has imported Keras and used none of it: the factory.

The worker sends a request for each trainer over a socket: the variables that are the trainer's own,
as JSON, and its two pipes and its slot's lock as descriptors. The factory answers with one number:
0 once it can fork, then for each request the trainer's process id, or minus an `errno`.

A trainer is no child of the factory. It is forked by a process in between that ends at once, so
that the worker adopts it: the worker sees how it ended, and the factory's end ends no trainer.
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

# Most bytes of a request: a few variables.
LONGEST_REQUEST = 2**16
# What a request carries: the down pipe's end, the up pipe's end, the slot's lock.
_DESCRIPTORS = 3


@dataclass(frozen=True)
class Pipes:
    """A trainer's ends of its two pipes."""

    down: int
    up: int


def trainers(descriptor: int) -> Pipes:
    """Fork a trainer for each request; returns in each trainer, and never in the factory.

    Args:
        descriptor: of the socket, to a process that is this one's parent.
    Raises:
        SystemExit: in a trainer: the worker is gone.
    """
    worker = os.getppid()
    prctl.name("fornada-factory")
    connection = socket.socket(fileno=descriptor)
    _answer(connection, READY)
    while True:
        request, descriptors = _next(connection)
        try:
            pid = _adopted(worker)
        except OSError as exc:
            pid = -(exc.errno or errno.EAGAIN)
        if pid == 0:
            connection.close()
            return _begin(request, *descriptors)
        _close(descriptors)
        _answer(connection, pid)


def _next(connection: socket.socket) -> tuple[dict[str, str], list[int]]:
    """The next request; ends this process when there will be none."""
    data, descriptors, _, _ = socket.recv_fds(
        connection, LONGEST_REQUEST, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    if not data:
        _end(0)
    request: dict[str, str] = json.loads(data)
    return request, descriptors


def _begin(variables: dict[str, str], down: int, up: int, lock: int) -> Pipes:
    os.environ.update(variables)
    # Whatever the trainer starts holds the slot, too.
    os.set_inheritable(lock, True)
    prctl.name("fornada-trainer")
    return Pipes(down, up)


def _adopted(worker: int) -> int:
    """Fork a process that the worker adopts; it leads a session, and dies with the worker.

    Returns:
        Its process id; 0 in that process.
    Raises:
        OSError: the host has no room for another process, or the new one ended at once.
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
        # Its parent is the worker once the process in between is gone, which the factory sees.
        os.read(parted, 1)
        os.setsid()
        prctl.die_with(worker)
        os.write(tell_born, FORK_ANSWER.pack(os.getpid()))
        _close((born, tell_born, parted))
        return 0
    _, status = os.waitpid(between, 0)
    _close((tell_born, parted, hold_parted))
    told = os.read(born, FORK_ANSWER.size)
    os.close(born)
    if not told:
        raise OSError(os.waitstatus_to_exitcode(status) or errno.ECHILD, "no trainer was forked")
    return int(FORK_ANSWER.unpack(told)[0])


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
    """End without what a Python process does at its end: that is for a process that used Keras."""
    os._exit(status)
