"""Workers of a home that were killed.

A living worker holds the lock of its heartbeat file, and a worker that has drained removes the
file. So a file that nobody locks was left by a worker of this home that was killed, or that a
second signal ended at once. Its Celery process has ended too: both hold the lock. A worker of
another home or host has its file elsewhere, so it is never found here, whatever its name is. Nor is
one whose file was copied with its home: each file says which file it is.

The parent of a worker imports this module, and must stay small.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fornada.locks import try_lock

if TYPE_CHECKING:
    from fornada.db.records import WorkerProcess

# Most bytes of a heartbeat file.
_LONGEST = 4096


def folder(home: Path) -> Path:
    """Folder of the heartbeat files of a home's workers."""
    return home / "workers"


def found(home: Path) -> "frozenset[WorkerProcess]":
    """The killed workers of a home, as far as their heartbeats tell. Changes nothing."""
    shared = (worker for _, worker in _unlocked(home, shared=True) if worker is not None)
    return frozenset(shared)


def removed(home: Path) -> "Iterator[WorkerProcess]":
    """Each killed worker of a home; its file is removed when the next one is asked for.

    The file stays if the caller fails before that. Meanwhile nobody can take the worker's name.
    """
    for file, worker in _unlocked(home, shared=False):
        if worker is not None:
            yield worker
        file.unlink(missing_ok=True)


def _unlocked(home: Path, *, shared: bool) -> "Iterator[tuple[Path, WorkerProcess | None]]":
    """The files that no worker locks, each locked while the caller looks at it.

    Args:
        home: the home.
        shared: lock so that others can look at the same time.
    Yields:
        The file, and the process that wrote its last heartbeat; None before the first.
    """
    for file in sorted(folder(home).glob("*")):
        with suppress(FileNotFoundError, PermissionError):
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            with closing(os.fdopen(descriptor, "rb")) as opened:
                if not try_lock(descriptor, shared=shared):
                    continue
                status = os.fstat(descriptor)
                # A file without links was removed by a worker that ended just now.
                if status.st_nlink:
                    yield file, _process(file.name, opened.read(_LONGEST), status.st_ino)


def _process(name: str, heartbeat: bytes, inode: int) -> "WorkerProcess | None":
    """The process that wrote a heartbeat; None if it wrote another file, or may live."""
    from fornada.db.records import WorkerProcess

    try:
        fields = json.loads(heartbeat)
        pid = int(fields["pid"])
        # In a copied home lies the file of a worker that may live: nobody locks the copy.
        copied = int(fields.get("inode", inode)) != inode
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return None if copied or _lives(pid) else WorkerProcess(name, socket.gethostname(), pid)


def _lives(pid: int) -> bool:
    """Whether a process of this host has the id. One that was killed may wait for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"
