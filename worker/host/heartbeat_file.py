"""The pulse of a Celery process: a file under the worker's name, which is also its claim to it.

The parent takes the file and its lock, the Celery process writes into it, and whoever asks after
a worker's health reads it. Standard library only: the parent loads nothing heavy.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

# Written over in place, so that a full disk stops no pulse; a reader sees all of it or none.
SIZE_BYTES = 1024
# The Celery process that held the name before may be ending still.
DYING_S = 5.0
RETRY_S = 0.1


class NameHeld(Exception):  # it says who has it
    """A living worker has this name."""


class Doing(StrEnum):
    """What a Celery process is about."""

    # Loading, or waiting for the database.
    STARTING = "starting"
    # Without its connection to Redis.
    CONNECTING = "connecting"
    CONSUMING = "consuming"
    DRAINING = "draining"


@dataclass(frozen=True)
class Beat:
    """What a Celery process shows; moments by the clock that all processes of a host share."""

    pid: int
    doing: Doing
    # When this was written.
    at: float
    # When Celery's loop last turned, or since when Redis answers others though not the loop.
    # None while it need not turn.
    loop: float | None
    # When upkeep last ended a round; None while there is none to end.
    beat: float | None
    # When the idle slot that waits longest was last told whether there is work; None without one.
    look: float | None
    # Jobs that run.
    jobs: int
    # How long the process takes to drain, and how often upkeep is to beat.
    grace_s: float
    upkeep_s: float


def folder(home: Path) -> Path:
    """Where the pulses of a home's workers lie."""
    return home / "workers"


def take(home: Path, name: str) -> int:
    """Take a worker's name in a home: its file, locked, as long as the descriptor is open.

    Raises:
        NameHeld: a living worker has it.
        OSError: the home cannot be written.
    """
    folder(home).mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + DYING_S
    while (descriptor := _lock(folder(home) / name)) is None:
        if time.monotonic() > end:
            raise NameHeld(f"a worker named {name} runs in {home} already; give this one another")
        time.sleep(RETRY_S)
    _sweep(home, name)
    return descriptor


def give_up(home: Path, name: str) -> None:
    """Forget the name's file; its holder ends."""
    (folder(home) / name).unlink(missing_ok=True)


def living(home: Path) -> Iterator[tuple[str, Beat | None]]:
    """Names of the workers that run in a home, each with its pulse when it has shown one."""
    for file in sorted(folder(home).glob("*")):
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Its worker has just ended.
            continue
        try:
            held = not _locked(descriptor)
            found = read(descriptor)
        finally:
            os.close(descriptor)
        if held:
            yield file.name, found


def write(descriptor: int, pulse: Beat) -> None:
    """Show a pulse."""
    text = json.dumps(asdict(pulse)).encode()
    os.pwrite(descriptor, text.ljust(SIZE_BYTES), 0)


def read(descriptor: int) -> Beat | None:
    """The pulse that was shown last; None when there is none, or it is being written."""
    try:
        told = json.loads(os.pread(descriptor, SIZE_BYTES, 0))
        return Beat(**told | {"doing": Doing(told["doing"])})
    except (ValueError, TypeError, KeyError):
        return None


def _lock(file: Path) -> int | None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A file that was swept between the two calls is nobody's any more.
    if _locked(descriptor) and os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(home: Path, own: str) -> None:
    """Remove what workers that were killed have left."""
    for file in folder(home).glob("*"):
        if file.name == own:
            continue
        with suppress(FileNotFoundError):
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _locked(descriptor):
                    file.unlink()
            finally:
                os.close(descriptor)
