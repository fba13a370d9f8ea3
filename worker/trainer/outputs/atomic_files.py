"""Writes an attempt's files so that a reader never sees a file that is half written."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fornada.sync import sync_folder
from fornada.worker.attempt_files import record
from fornada.worker.messages import FileRecord

# Files that an attempt may write, with their kinds, in the order in which they are reported.
_KINDS = {
    "best.keras": "best_model",
    "best.weights.h5": "weights",
    "last.keras": "last_model",
    "history.csv": "history",
    "evaluation.json": "evaluation",
    "spec.yaml": "spec",
    "environment.json": "environment",
    "tensorboard": "tensorboard",
    "train.log": "log",
}
# The kind of a named checkpoint's file.
CHECKPOINT = "checkpoint"
# Bytes that a large file must leave free on the disk, for the log and the history.
_MARGIN_BYTES = 2**20

# Prefix of a file's name while it is written.
_WRITING = "writing."

# Errors of a file system that cannot make hard links.
_NO_LINK = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})


def check_room(folder: Path, size: int, what: str) -> None:
    """Check that the disk has space for a file.

    Args:
        folder: folder of the file.
        size: its size in bytes.
        what: start of the error message, such as "a training state takes".

    Raises:
        OSError: ENOSPC, when the disk has too little space.
    """
    free = shutil.disk_usage(folder).free
    if free < size + _MARGIN_BYTES:
        why = f"{what} {size:,} bytes, and the disk of {folder} has {free:,} left"
        raise OSError(errno.ENOSPC, why)


def write(path: Path, save: Callable[[Path], object], kind: str | None = None) -> FileRecord:
    """Write a file under a temporary name, flush it to disk, and rename it to `path`.

    Args:
        path: the file. Its temporary name has the same suffixes, from which Keras takes the format.
        save: writes the file; called with the temporary path.
        kind: kind of the file; by default the one that belongs to its name.

    Raises:
        OSError: the file cannot be written; an earlier file at `path` is unchanged.
    """
    kind = kind or _KINDS[path.name]
    temporary = path.with_name(f"{_WRITING}{path.name}")
    try:
        save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        done = record(kind, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return done.model_copy(update={"path": path})


def write_text(path: Path, text: str) -> FileRecord:
    """Write a text file with `write`."""
    return write(path, lambda temporary: temporary.write_text(text))


def write_json(path: Path, value: Any) -> FileRecord:
    """Write a JSON file with `write`."""
    return write_text(path, json.dumps(value, indent=2) + "\n")


def records(folder: Path, known: FileRecord | None = None) -> list[FileRecord]:
    """Records of all files that an attempt has written.

    Args:
        folder: the attempt's folder.
        known: a record that exists already; its file is not read again.
    """
    found = []
    for name, kind in _KINDS.items():
        path = folder / name
        if known is not None and known.path == path:
            found.append(known)
        elif path.exists():
            found.append(record(kind, path))
    return found


def remove_unfinished(folder: Path) -> None:
    """Remove the files that the trainer of an attempt was writing when it was killed."""
    for path in folder.rglob(f"{_WRITING}*"):
        # A file that cannot be removed only takes space.
        with suppress(OSError):
            path.unlink()


def link(source: Path, target: Path) -> None:
    """Make a hard link to a file, or a copy where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
