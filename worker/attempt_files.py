"""The files of an attempt. The trainer reports them; the supervisor checks every report."""

import hashlib
import logging
import shutil
from pathlib import Path

from fornada.worker.messages import Best, FileRecord

log = logging.getLogger("fornada.worker")

# File name of the best model once the job has ended.
BEST = "best.keras"


class Missing(Exception):
    """A reported file does not exist, or differs from the report."""


def verify(record: FileRecord, folder: Path) -> None:
    """Check that a file in the attempt's folder matches its report.

    Args:
        record: the report.
        folder: the attempt's folder.
    Raises:
        Missing: the file lies elsewhere, does not exist, or has another size or checksum.
    """
    path = record.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Missing(f"{record.kind} {path} lies outside of the attempt's folder {folder}")
    if not path.exists():
        raise Missing(f"{record.kind} {path} was reported, but does not exist")
    # File systems report different sizes for a folder, so only files are compared.
    if path.is_file() and path.stat().st_size != record.bytes:
        size = path.stat().st_size
        raise Missing(f"{record.kind} {path} has {size} bytes; {record.bytes} were reported")
    # A newer model that the trainer has not reported yet has the same size.
    if record.sha256 is not None and sha256(path) != record.sha256:
        raise Missing(f"{record.kind} {path} has a sha256 that differs from the reported one")


def is_there(record: FileRecord, folder: Path) -> bool:
    """Whether a file matches its report. The worker's log says what differs."""
    try:
        verify(record, folder)
    except Missing as exc:
        log.warning("%s", exc)
        return False
    return True


def lasting(folder: Path, epoch: int) -> Path:
    """Path under which the best model of one epoch is kept while the job runs.

    The trainer may replace `best.keras` at any time. So the database names this file while the
    job runs, and keeps naming it when nothing records the end of the attempt. The file exists
    before the epoch is reported, and until the database names a better model.
    """
    return folder / f"best-{epoch}.keras"


def settled(best: Best, folder: Path) -> Best | None:
    """Make sure that `best.keras` is the best model that was reported last.

    A trainer that ends early may have replaced `best.keras` without reporting the new model. Then
    the reported model is copied back from its `lasting` file.

    Args:
        best: the trainer's last report; the trainer has ended.
        folder: the attempt's folder.
    Returns:
        The report with the path of `best.keras`; None when the reported model no longer exists.
    """
    file = best.file.model_copy(update={"path": folder / BEST})
    if not is_there(file, folder):
        kept = file.model_copy(update={"path": lasting(folder, best.epoch)})
        try:
            verify(kept, folder)
            # A copy, because some file systems have no links.
            copy = folder / f"{BEST}.kept"
            shutil.copyfile(kept.path, copy)
            copy.replace(file.path)
            verify(file, folder)
        except (Missing, OSError):
            return None
        log.info("%s is the reported model again, copied from %s", file.path, kept.path)
    return best.model_copy(update={"file": file})


def remove_earlier(folder: Path, epoch: int | None = None) -> None:
    """Remove the `lasting` files that the database no longer names.

    Args:
        folder: the attempt's folder.
        epoch: epoch of the file that the database names; files of earlier epochs are removed.
            None when the database names `best.keras`: all are removed.
    """
    try:
        paths = list(folder.glob("best-*.keras"))
    except OSError as exc:
        log.warning("cannot remove earlier best models: %s", exc)
        return
    for path in paths:
        number = path.stem.removeprefix("best-")
        if number.isdecimal() and (epoch is None or int(number) < epoch):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file that is not needed. A file that stays only takes disk space."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("cannot remove a file: %s", exc)


def record(kind: str, path: Path) -> FileRecord:
    """Size and checksum of a file as it is now; for a folder, the total size of its files."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return FileRecord(kind=kind, path=path, bytes=size, sha256=None)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        # The number of bytes that the checksum covers: the log may grow meanwhile.
        return FileRecord(kind=kind, path=path, bytes=file.tell(), sha256=digest)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
