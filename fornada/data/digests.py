"""Remembers the digests of files, together with each file's size and time of change.

To read and hash 60,000 files takes seconds. To get their sizes and times takes a tenth of a second.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from fornada.settings import Settings

# A file that was changed less than this before it was read is not remembered: it may change again
# without a new time of change. The coarsest clock of a file system ticks every two seconds.
_TICK_NS = 2_000_000_000

# Size in bytes, time of change in nanoseconds. While both are the same, the file is unchanged.
Stamp = tuple[int, int]
# Size, time of change, digest.
_Entry = tuple[int, int, str]


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file from its status."""
    return status.st_size, status.st_mtime_ns


class Digests:
    """The digests of one folder's files.

    Args:
        folder: a folder of images.
        settings: give the home, in which the digests are stored.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
        self._file = settings.home / "digests" / f"{place}.json"
        self._entries = _read(self._file)
        self._changed = False

    def known(self, files: Iterable[str]) -> dict[str, str]:
        """The digests of the files that did not change since they were read.

        Args:
            files: paths in the folder.
        """
        # This runs for every file of every job, so the loop calls `os.stat` with a string: a `Path`
        # for each file would take longer.
        base, entries, ask = f"{self._folder}/", self._entries, os.stat
        found = {}
        for file in files if entries else ():
            if entry := entries.get(file):
                try:
                    status = ask(base + file)
                except OSError:
                    continue
                if entry[0] == status.st_size and entry[1] == status.st_mtime_ns:
                    found[file] = entry[2]
        return found

    def add(self, file: str, stamp: Stamp, digest: str) -> None:
        """Remember the digest of a file.

        Args:
            file: its path in the folder.
            stamp: of the file, taken before it was read.
            digest: of its bytes.
        """
        if time.time_ns() - stamp[1] > _TICK_NS:
            self._entries[file] = (*stamp, digest)
            self._changed = True

    def save(self) -> None:
        """Write new digests to disk. If the home cannot be written, they are forgotten."""
        if not self._changed:
            return
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps({"folder": str(self._folder), "files": self._entries}))
            beside.replace(self._file)


def forget_lost(settings: Settings) -> None:
    """Delete the digests of folders that no longer exist, and files that cannot be read."""
    for file in (settings.home / "digests").glob("*"):
        if not _folder_exists(file):
            with suppress(OSError):
                file.unlink()


def _folder_exists(file: Path) -> bool:
    """Whether a file has the digests of a folder that exists."""
    if file.suffix != ".json":
        return False
    try:
        return Path(json.loads(file.read_text())["folder"]).is_dir()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read(file: Path) -> dict[str, _Entry]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        files: Mapping[str, list[object]] = json.loads(file.read_text())["files"]
        return {
            name: (size, changed, digest)
            for name, (size, changed, digest) in files.items()
            if isinstance(size, int) and isinstance(changed, int) and isinstance(digest, str)
        }
    return {}
