"""Writes an attempt's files so that a reader never meets half of one."""

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

# What an attempt may leave in its folder, in the order in which it is reported.
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
# Bytes that must be left on the disk beside a large file: for the log, history and record.
_MARGIN_BYTES = 2**20

# In front of a name while the file is written.
_WRITING = "writing."

# What a file system says that cannot link.
_NO_LINK = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})


def check_room(folder: Path, size: int, what: str) -> None:
    """See that a file of so many bytes finds room.

    Args:
        folder: it is written there.
        size: in bytes.
        what: begins the message, such as "a training state takes".

    Raises:
        OSError: ENOSPC.
    """
    free = shutil.disk_usage(folder).free
    if free < size + _MARGIN_BYTES:
        why = f"{what} {size:,} bytes, and the disk of {folder} has {free:,} left"
        raise OSError(errno.ENOSPC, why)


def write(path: Path, save: Callable[[Path], object], kind: str | None = None) -> FileRecord:
    """Let `save` write a file beside `path`, then put it in its place, on disk.

    Args:
        path: its name keeps its last suffixes beside, which tell Keras the format.
        save: called with the temporary path.
        kind: of the file; by default what its name says.

    Raises:
        OSError: the file at `path`, if there was one, is untouched.
    """
    kind = kind or _KINDS[path.name]
    beside = path.with_name(f"{_WRITING}{path.name}")
    try:
        save(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        done = record(kind, beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return done.model_copy(update={"path": path})


def write_text(path: Path, text: str) -> FileRecord:
    """Write a text file in one piece."""
    return write(path, lambda beside: beside.write_text(text))


def write_json(path: Path, value: Any) -> FileRecord:
    """Write a JSON file in one piece."""
    return write_text(path, json.dumps(value, indent=2) + "\n")


def records(folder: Path, known: FileRecord | None = None) -> list[FileRecord]:
    """All that an attempt left in its folder.

    Args:
        folder: of the attempt.
        known: a record that was made when its file was written.
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
    """Remove what the trainer of an attempt was writing when it was killed."""
    for path in folder.rglob(f"{_WRITING}*"):
        # Where it cannot be removed it only takes room.
        with suppress(OSError):
            path.unlink()


def link(source: Path, target: Path) -> None:
    """A second name for a file; a copy on disk where the file system has none."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
