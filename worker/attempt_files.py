"""The files of an attempt: recorded by its trainer; looked at, not believed, by its supervisor."""

import hashlib
import logging
import shutil
from pathlib import Path

from fornada.worker.messages import Best, FileRecord

log = logging.getLogger("fornada.worker")

# The best model, as people know it.
BEST = "best.keras"


class Missing(Exception):  # a file that was reported and is not there
    """A reported file is not there as it was reported."""


def verify(record: FileRecord, folder: Path) -> None:
    """See that a file is in the attempt's folder as it was reported.

    Raises:
        Missing: it is not.
    """
    path = record.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Missing(f"{record.kind} {path} lies outside of the attempt's folder {folder}")
    if not path.exists():
        raise Missing(f"{record.kind} {path} was reported, and is not there")
    # A folder's size is no one number.
    if path.is_file() and path.stat().st_size != record.bytes:
        size = path.stat().st_size
        raise Missing(f"{record.kind} {path} has {size} bytes; {record.bytes} were reported")
    # A model that was replaced and not yet reported has the same size.
    if record.sha256 is not None and sha256(path) != record.sha256:
        raise Missing(f"{record.kind} {path} has another sha256 than was reported")


def is_there(record: FileRecord, folder: Path) -> bool:
    """Whether a file is as it was reported; what is wrong goes into the worker's log."""
    try:
        verify(record, folder)
    except Missing as exc:
        log.warning("%s", exc)
        return False
    return True


def lasting(folder: Path, epoch: int) -> Path:
    """Where the best model of an epoch lies from before it is told until a better is on record.

    A trainer replaces `best.keras` when it likes. What the record names while the job runs, and
    for good when nobody is left to tell of the end, is this.
    """
    return folder / f"best-{epoch}.keras"


def settled(best: Best, folder: Path) -> Best | None:
    """The best model as `best.keras`, put back where its trainer could tell no more of a better.

    Args:
        best: as the trainer, which has ended, reported it.
        folder: of the attempt.
    Returns:
        None where there is no such file.
    """
    file = best.file.model_copy(update={"path": folder / BEST})
    if not is_there(file, folder):
        kept = file.model_copy(update={"path": lasting(folder, best.epoch)})
        try:
            verify(kept, folder)
            # A copy: a file system may have no links.
            beside = folder / f"{BEST}.kept"
            shutil.copyfile(kept.path, beside)
            beside.replace(file.path)
            verify(file, folder)
        except (Missing, OSError):
            return None
        log.info("%s is the reported one again, from %s", file.path, kept.path)
    return best.model_copy(update={"file": file})


def outdone(folder: Path, epoch: int | None = None) -> None:
    """Remove the lasting best models that the record names no more.

    Args:
        folder: of the attempt.
        epoch: of the one that it names; None when it names `best.keras`.
    """
    try:
        paths = list(folder.glob("best-*.keras"))
    except OSError as exc:
        log.warning("best models are not removed: %s", exc)
        return
    for path in paths:
        number = path.stem.removeprefix("best-")
        if number.isdecimal() and (epoch is None or int(number) < epoch):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file that is not needed; where that fails it only takes room."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("not removed: %s", exc)


def record(kind: str, path: Path) -> FileRecord:
    """A file as it is now: its size and checksum; of a folder, the size of its files."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return FileRecord(kind=kind, path=path, bytes=size, sha256=None)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        # Of what was read: the log may grow meanwhile.
        return FileRecord(kind=kind, path=path, bytes=file.tell(), sha256=digest)


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
