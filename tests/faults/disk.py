"""A disk so small that a test can fill it: a file system in memory."""

import contextlib
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

    def __init__(self, folder: Path, *, size_bytes: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        self._size_bytes = size_bytes

    def fill(self, *, but_bytes: int = 0) -> None:
        """Use up what is free, but for so much."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(CHUNK_BYTES))
        if but_bytes:
            os.truncate(self._ballast, max(0, self._ballast.stat().st_size - but_bytes))

    def free(self) -> None:
        """Give back what `fill` used."""
        self._ballast.unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        """How much can be written."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_bsize

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={self._size_bytes},mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
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
