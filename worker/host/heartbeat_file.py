"""The heartbeat file of a worker. Its lock also reserves the worker's name in this home.

The parent creates and locks the file, the Celery process writes into it, and the parent and
`--check` read it. Standard library only: the parent must stay small.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from fornada.locks import try_lock
from fornada.stack import dead_workers

# The file is overwritten in place at one size, so that a full disk stops no heartbeat. A reader
# that reads during a write finds no valid JSON.
SIZE_BYTES = 1024
# Seconds to wait for the name: the previous Celery process may still be ending.
DYING_S = 5.0
# Seconds between two attempts to lock the name.
RETRY_S = 0.1


class NameHeld(Exception):
    """A living worker has this name."""


class Doing(StrEnum):
    """What a Celery process is doing."""

    # Importing modules, or waiting for the database.
    STARTING = "starting"
    # Waiting for its connection to Redis.
    CONNECTING = "connecting"
    CONSUMING = "consuming"
    DRAINING = "draining"


@dataclass(frozen=True)
class Beat:
    """State of a Celery process. Moments are by the monotonic clock, one for the whole host."""

    pid: int
    doing: Doing
    # When this was written.
    at: float
    # CONSUMING: when Celery's loop last ran. CONNECTING: since when Redis answers the pings of
    # upkeep; None while Redis does not answer. None in the other states, where the loop need not
    # run.
    loop: float | None
    # When upkeep last ended a round; None while upkeep does not run.
    beat: float | None
    # When each idle slot last asked for a job: the earliest of these times; None without an idle
    # slot.
    look: float | None
    # Number of running jobs.
    jobs: int
    # Seconds that the process may take to drain, and seconds between two rounds of upkeep.
    grace_s: float
    upkeep_s: float


class HomeOfWorker:
    """The home of a worker, as it is when this is made; tells whether it was removed or replaced.

    Args:
        home: the home, which exists.
        name: name of the worker.
    """

    def __init__(self, home: Path, name: str) -> None:
        self._home = home
        self._file = folder(home) / name
        self._status = home.stat()

    @property
    def intact(self) -> bool:
        """Whether the home is still the same folder, and has a file for the worker."""
        try:
            return os.path.samestat(self._home.stat(), self._status) and self._file.exists()
        except OSError:
            return False


def folder(home: Path) -> Path:
    """Folder of the heartbeat files of a home's workers."""
    return dead_workers.folder(home)


def take(home: Path, name: str) -> int:
    """Reserve a worker's name in a home.

    Returns:
        Descriptor of the locked heartbeat file; the name is reserved as long as it is open.
    Raises:
        NameHeld: a living worker has the name.
        OSError: the home cannot be written, or has no room for a heartbeat.
    """
    folder(home).mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + DYING_S
    while (descriptor := _lock(folder(home) / name)) is None:
        if time.monotonic() > end:
            raise NameHeld(
                f"a worker named {name} already runs in {home}; give this one another --name"
            )
        time.sleep(RETRY_S)
    try:
        # The file keeps this size, so that a disk which is full later stops no heartbeat.
        os.posix_fallocate(descriptor, 0, SIZE_BYTES)
    except OSError:
        give_up(home, name)
        os.close(descriptor)
        raise
    return descriptor


def give_up(home: Path, name: str) -> None:
    """Remove the heartbeat file of a worker that ends and leaves no job behind."""
    (folder(home) / name).unlink(missing_ok=True)


def living(home: Path) -> Iterator[tuple[str, Beat | None]]:
    """Workers that run in a home: each name and its heartbeat, None before the first."""
    for file in sorted(folder(home).glob("*")):
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Its worker has just ended.
            continue
        try:
            held = not try_lock(descriptor, shared=True)
            beat = read(descriptor)
        finally:
            os.close(descriptor)
        if held:
            yield file.name, beat


def write(descriptor: int, beat: Beat) -> None:
    """Write a heartbeat."""
    # A copy of the file is another file, and says nothing about a worker: see `dead_workers`.
    text = json.dumps(asdict(beat) | {"inode": os.fstat(descriptor).st_ino}).encode()
    os.pwrite(descriptor, text.ljust(SIZE_BYTES), 0)


def read(descriptor: int) -> Beat | None:
    """The last heartbeat; None before the first, or while one is being written."""
    try:
        fields = json.loads(os.pread(descriptor, SIZE_BYTES, 0))
        fields.pop("inode", None)
        return Beat(**fields | {"doing": Doing(fields["doing"])})
    except (ValueError, TypeError, KeyError):
        return None


def _lock(file: Path) -> int | None:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # `dead_workers.removed` of another worker may have removed the file between `open` and the
    # lock. Such a file has no links, and its lock reserves nothing.
    if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None
