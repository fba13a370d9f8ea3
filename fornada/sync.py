"""Writes folders to disk, so that new and renamed files survive a power failure."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Write the file names of a folder to disk; the content of the files is synced elsewhere.

    Raises:
        OSError: the folder does not exist, or cannot be synced.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
