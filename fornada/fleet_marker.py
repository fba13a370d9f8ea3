"""The file that says to which database an artifacts folder belongs.

A share that is not mounted leaves an empty folder, in which a job would train again from its first
epoch, and leave a result that nobody else sees. So the folder names its database, by the uid that
the table `fleet` has.
"""

import os
from pathlib import Path

# A line for each database whose jobs leave their files in the folder: most often one.
NAME = ".fornada-fleet"


def names(folder: Path, fleet: str) -> bool:
    """Whether an artifacts folder says that it belongs to a database; without a marker it does not.

    Args:
        folder: the artifacts folder.
        fleet: uid of the database.
    Raises:
        OSError: the folder or the marker cannot be read.
    """
    return fleet in _lines(folder)


def exists(folder: Path) -> bool:
    """Whether the folder has a marker, of whatever database.

    Raises:
        OSError: the folder or the marker cannot be read.
    """
    return bool(_lines(folder))


def write(folder: Path, fleet: str) -> None:
    """Make the folder say that it belongs to this database too.

    Raises:
        OSError: the marker cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Several workers may do this at once: each appends a whole line, and equal lines do no harm.
    descriptor = os.open(
        folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666
    )
    try:
        os.write(descriptor, f"{fleet}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(folder: Path) -> list[str]:
    try:
        return (folder / NAME).read_text(errors="replace").split()
    except FileNotFoundError:
        return []
