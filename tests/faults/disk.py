"""A disk so small that a test can fill it: a file system in memory."""

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

# Of one that is filled up: a byte more would fit nowhere.
CHUNK_BYTES = 4096


class SmallDisk:
    """A file system of its own at `folder`; only root may mount one, see `as_root`."""

    def __init__(self, folder: Path, *, size_bytes: int, files: int = 0) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        # 0 is tmpfs's word for no limit.
        self._options = f"size={size_bytes},nr_inodes={files},mode=0700"

    def fill(self, *, but_bytes: int = 0) -> None:
        """Use up what is free, but for so much."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(CHUNK_BYTES))
        if but_bytes:
            os.truncate(self._ballast, max(0, self._ballast.stat().st_size - but_bytes))

    def fill_files(self) -> None:
        """Use up all files and folders that it can hold."""
        with contextlib.suppress(OSError):
            for number in itertools.count():
                self._ballast.with_suffix(f".{number}").touch()

    def free(self) -> None:
        """Give back what was used up."""
        for file in self.folder.glob(f"{self._ballast.name}*"):
            file.unlink()

    @property
    def free_bytes(self) -> int:
        """How much can be written."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_bsize

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", self._options, "tmpfs", str(self.folder)]
        subprocess.run(command, check=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Lazily: a process that a failed test left behind may still have files open.
        command = ["umount", "--lazy", str(self.folder)]
        subprocess.run(command, check=True)


def as_root(request: pytest.FixtureRequest) -> bool:
    """Whether this process may mount; if not, the test is run by one that may, to its end.

    That one is root in a namespace of its own, and so is all that it starts.

    Raises:
        AssertionError: the test failed there.
    """
    if os.geteuid() == 0:
        return True
    again = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "pytest"]
    done = subprocess.run(
        [*again, "-q", "-p", "no:cacheprovider", request.node.nodeid],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return False
