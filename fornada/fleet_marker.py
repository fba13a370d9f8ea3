"""The file that says to which database an artifacts folder belongs.

A share that is not mounted leaves an empty folder, in which a job would train again from its first
epoch, and leave a result that nobody else sees. So the folder names its database, by the uid that
the table `fleet` has.
"""

import errno
import os
from pathlib import Path

# A line for each database whose jobs leave their files in the folder: most often one.
NAME = ".fornada-fleet"
# Nobody shares a folder between more databases than these bytes name.
_MOST_BYTES = 64 * 1024
# Jobs can write here: a link could lead anywhere, and a pipe would let a worker wait for ever.
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK


def names(folder: Path, fleet: str) -> bool:
    """Whether an artifacts folder says that it belongs to a database; without a marker it does not.

    Args:
        folder: the artifacts folder.
        fleet: uid of the database.
    Raises:
        OSError: the folder or the marker cannot be read, or the marker is a link.
    """
    return fleet in _lines(folder)


def exists(folder: Path) -> bool:
    """Whether the folder has a marker, of whatever database.

    Raises:
        OSError: the folder or the marker cannot be read, or the marker is a link.
    """
    return bool(_lines(folder))


def write(folder: Path, fleet: str) -> None:
    """Make the folder say that it belongs to this database too.

    Raises:
        OSError: the marker cannot be written, is a link, or is longer than 64 KiB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Several workers may do this at once: each appends whole lines, and equal lines do no harm. The
    # line before may lack its end, if a person wrote it.
    descriptor = os.open(
        folder / NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | _PLAIN, 0o666
    )
    try:
        size = os.fstat(descriptor).st_size
        if size + len(fleet) + 2 > _MOST_BYTES:
            # Nobody would read the line.
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(folder / NAME))
        unended = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, f"{chr(10) if unended else ''}{fleet}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(folder: Path) -> list[str]:
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC | _PLAIN)
    except FileNotFoundError:
        return []
    try:
        return os.read(descriptor, _MOST_BYTES).decode(errors="replace").split()
    finally:
        os.close(descriptor)
