"""Finds out whether a folder can be written, by writing a file. Standard library only."""

from pathlib import Path

# What is written: a full disk has no room for it. One block of most file systems.
PROBE = bytes(4096)


def write_and_remove(file: Path) -> None:
    """Create a file with some content, and remove it.

    Raises:
        OSError: the file cannot be created, written or removed.
    """
    try:
        file.write_bytes(PROBE)
    finally:
        file.unlink(missing_ok=True)
