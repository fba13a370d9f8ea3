"""The files of an attempt: recorded by its trainer; looked at, not believed, by its supervisor."""

import hashlib
import logging
import shutil
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from worker.messages import FileRecord

log = logging.getLogger("fornada.worker")

# Lines of a log that go into the record of a crash, and bytes looked at to find them.
LAST_LINES = 20
LAST_BYTES = 2**14


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


def put_back(record: FileRecord, folder: Path, earlier: Iterable[Path]) -> bool:
    """Bring back a file that a trainer replaced and could tell of no more.

    Training states keep the best model of their time. The trainer has ended.

    Args:
        record: of the file.
        folder: of the attempt.
        earlier: folders of attempts that it may have gone on from, and have the file from.
    Returns:
        Whether one of them had the file as it was reported.
    """
    places = (folder, *earlier)
    for kept in chain.from_iterable(each.glob(f"state/*/{record.path.name}") for each in places):
        try:
            verify(record.model_copy(update={"path": kept}), kept.parent)
            # A copy: a file system may have no links.
            beside = record.path.with_name(f"{record.path.name}.kept")
            shutil.copyfile(kept, beside)
            beside.replace(record.path)
            verify(record, folder)
        except (Missing, OSError):
            continue
        log.info("%s is the reported one again, from %s", record.path, kept.parent)
        return True
    return False


def record(kind: str, path: Path) -> FileRecord:
    """A file as it is now: its size and checksum; of a folder, the size of its files."""
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return FileRecord(kind=kind, path=path, bytes=size, sha256=None)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        # Of what was read: the log may grow meanwhile.
        return FileRecord(kind=kind, path=path, bytes=file.tell(), sha256=digest)


def last_lines(file: Path) -> list[str]:
    """The last lines of a log; none when there is no log."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - LAST_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-LAST_LINES:]


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
