"""What the files of a folder hold, remembered by size and time of change.

Reading and hashing 60,000 files takes seconds; asking the folder for their sizes and times a
tenth of one.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from fornada.settings import Settings

# A file that was changed this short before it was read may change again within the same tick of
# the file system's clock: two seconds is the coarsest one there is.
_TICK_NS = 2_000_000_000

# Size in bytes, time of change in nanoseconds: what tells that a file is as it was.
Stamp = tuple[int, int]
# The same with the digest.
_Entry = tuple[int, int, str]


def stamp(status: os.stat_result) -> Stamp:
    """What is remembered of a file's status."""
    return status.st_size, status.st_mtime_ns


class Digests:
    """The digests of one folder's files.

    Args:
        folder: of images.
        settings: say in which home they are remembered.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
        self._file = settings.home / "digests" / f"{place}.json"
        self._entries = _read(self._file)
        self._changed = False

    def known(self, files: Iterable[str]) -> dict[str, str]:
        """The digests of those files that are as they were when they were read.

        Args:
            files: paths in the folder.
        """
        # Nothing here may take long: it is done for every file of every job.
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
        """Remember what a file held.

        Args:
            file: its path in the folder.
            stamp: of the open file, asked for before it was read.
            digest: of its bytes.
        """
        if time.time_ns() - stamp[1] > _TICK_NS:
            self._entries[file] = (*stamp, digest)
            self._changed = True

    def save(self) -> None:
        """Write what is new; a home that cannot be written remembers nothing."""
        if not self._changed:
            return
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps({"folder": str(self._folder), "files": self._entries}))
            beside.replace(self._file)


def forget_lost(settings: Settings) -> None:
    """Forget the files of folders that are no more."""
    for file in (settings.home / "digests").glob("*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if file.suffix == ".json" and Path(json.loads(file.read_text())["folder"]).is_dir():
                continue
        with suppress(OSError):
            file.unlink()


def _read(file: Path) -> dict[str, _Entry]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        files: Mapping[str, list[object]] = json.loads(file.read_text())["files"]
        return {
            name: (size, changed, digest)
            for name, (size, changed, digest) in files.items()
            if isinstance(size, int) and isinstance(changed, int) and isinstance(digest, str)
        }
    return {}
