"""Paths in a spec. A person writes them relative to the current folder, or absolute.

They are stored relative to the data root, so that they are valid on every host.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fornada.db.states import FailureCode
from fornada.spec.kinds.kind import Kind, found
from fornada.spec.kinds.reading import At
from fornada.spec.problems import PathRefused
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.wording import clip

# Longest path that Linux accepts, in bytes.
_LONGEST = 4096


def resolve(stored: str, data_root: Path) -> Path:
    """The real path on this machine for a stored path.

    Args:
        stored: relative to the data root, as specs store it; `""` or `.` is the root itself.
        data_root: folder that holds all data.

    Raises:
        PathRefused: the path leaves the data root, by `..` or by a symbolic link.
    """
    path = PurePosixPath(stored)
    if path.is_absolute() or ".." in path.parts:
        raise PathRefused(f'"{clip(stored)}" is not a path under the data root.')
    root = data_root.resolve()
    try:
        real = (root / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise PathRefused(f'"{clip(stored)}" cannot be followed: {error}.') from error
    if _loops(real):
        raise PathRefused(f'"{clip(stored)}" cannot be followed: its links lead in a circle.')
    if not real.is_relative_to(root):
        raise PathRefused(f'"{clip(stored)}" leads outside the data root {root}.')
    return real


def _loops(path: Path) -> bool:
    """Whether links lead back to themselves: from 3.13 on `Path.resolve` does not tell."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def store(written: str, base: Path, data_root: Path) -> str:
    """The stored form of a path: relative to the data root.

    Args:
        written: as a person wrote it.
        base: folder that a relative path starts from.
        data_root: folder that holds all data.

    Raises:
        PathRefused: the path lies outside the data root.
    """
    # First the path as written, then with links resolved. So a link inside the data root is kept:
    # on another host it may lead elsewhere.
    path = Path(os.path.normpath(base.absolute() / written))
    for root, place in ((data_root.absolute(), path), (data_root.resolve(), Path(_real(path)))):
        if place.is_relative_to(root):
            stored = str(place.relative_to(root))
            resolve(stored, data_root)
            return stored
    raise PathRefused(f"{path} lies outside the data root {data_root}.")


def _real(path: Path) -> str:
    return os.path.realpath(path)


@dataclass(frozen=True)
class DataPath(Kind):
    """The path of a folder of images."""

    words = 'a folder under the data root, without ".."'

    def parse(self, node: Node, at: At) -> str:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise self.refuse(node, at, f"{found(node)} is not a path.")
        written = node.value
        if not written or len(os.fsencode(written)) > _LONGEST or "\n" in written:
            raise self.wrong(node, at)
        if ".." in PurePosixPath(written).parts or written.startswith("~"):
            hint = "\n  Write an absolute path, or a path relative to the current folder."
            message = f"{found(node)} is refused.\n  Expected {self.words}.{hint}"
            raise at.refuse(node.mark, message, FailureCode.PATH_REFUSED)
        try:
            return self._stored(written, at)
        except PathRefused as error:
            message = f"{error}\n  Expected {self.words}."
            raise at.refuse(node.mark, message, FailureCode.PATH_REFUSED) from None

    def _stored(self, written: str, at: At) -> str:
        reading = at.reading
        if reading.base is not None:
            return store(written, reading.base, reading.data_root)
        if PurePosixPath(written).is_absolute():
            raise PathRefused(f'"{clip(written)}" is not relative to the data root.')
        return str(PurePosixPath(written))

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST}
