"""The packs of this host. A pack holds the decoded images of a data set, in a folder of the home:

    packs/<name>/pack.json     the header; its time of change is the time of the last use
    packs/<name>/pixels.npy    the images, for `numpy.load`; a pack of kind `off` does not have it
    packs/making-<key>/        a pack that a process is making; that process holds its lock
    packs/lock                 locked while a process makes room for a pack and uses it

A process that uses a pack holds a shared lock on `pixels.npy`. The kernel keeps the lock as long as
the file is mapped. This module finds, measures and removes packs;
`fornada.worker.trainer.data.pack` makes them.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fornada.data.fingerprint import fingerprint
from fornada.locks import try_lock
from fornada.settings import Settings
from fornada.sync import sync_folder

PIXELS = "pixels.npy"
FACTS = "pack.json"
MAKING = "making-"
# Part of the name of every pack. Increased when older packs cannot be used any more.
FORMAT = 1
# If `max_pack_bytes` is not set, all packs may take 1/4 of their disk.
DISK_SHARE = 4
# One pack may take 1/2 of the free space.
FREE_SHARE = 2
# Seconds between two checks whether another process has made the pack. Decoding takes seconds.
POLL_S = 0.05

Kind = Literal["exact", "uint8", "off"]


class NoRoom(Exception):  # not an error: the images are then used without a pack
    """The pack would take more space than packs may take, or too much of the free space."""


@dataclass(frozen=True)
class PackHeader:
    """The content of `pack.json`.

    Attributes:
        content: what the function `content` returns for the files.
        look: everything else that decides the pixels: the arguments of Keras's reader, and the
            version of TensorFlow.
        kind: `exact`; `uint8`: pixels are rounded to bytes; `off`: no pixels, the pack only
            records that all files can be decoded.
        classes: number of images of each class. Images are sorted by path, so by class.
        largest: number of pixels of the largest image before it was resized.
        source: the folder that the images came from.
        dtype: of the pixels, numpy's name; None without pixels.
        size_bytes: size of `pixels.npy`.
        checks: CRC-32 of each part of `pixels.npy`.
        part_bytes: size of a part.
    """

    content: str
    look: Mapping[str, Any]
    kind: Kind
    classes: Mapping[str, int]
    largest: int
    source: str
    dtype: str | None = None
    size_bytes: int = 0
    checks: tuple[int, ...] = field(default=(), repr=False)
    part_bytes: int = 0

    @property
    def count(self) -> int:
        """Number of images in the pack."""
        return sum(self.classes.values())


@dataclass(frozen=True)
class Pack:
    """A pack on disk.

    Attributes:
        name: as the function `name` gives it.
        folder: where it lies.
        facts: its header.
        used_s: time of its last use, in seconds since 1970.
        size_bytes: disk space that it takes.
    """

    name: str
    folder: Path
    facts: PackHeader
    used_s: float
    size_bytes: int

    @property
    def in_use(self) -> bool:
        """Whether a process has the pixels mapped, or is about to map them."""
        with _unused(self.folder) as unused:
            return not unused


def content(files: Mapping[str, str]) -> str:
    """The fingerprint of the files of one folder.

    Args:
        files: digest of each file, by its path `class/name.png`.
    """
    return fingerprint(("", file, found) for file, found in files.items())


def name(content: str, look: Mapping[str, Any], kind: Kind) -> str:
    """The name of a pack. It depends on everything that decides the pixels."""
    return key([FORMAT, content, dict(look), kind])


def key(document: Any) -> str:
    """A short name for a JSON document, hexadecimal."""
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Packs:
    """All packs of a home.

    Args:
        folder: `packs` in the home; created with the first pack.
        max_bytes: disk space that all packs may take together; None: a quarter of the disk.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    @classmethod
    def of(cls, settings: Settings) -> "Packs":
        """The packs of the home that the settings name."""
        return cls(settings.home / "packs", settings.max_pack_bytes)

    @property
    def max_bytes(self) -> int:
        """Disk space that all packs may take together."""
        if self._max_bytes is not None:
            return self._max_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).total // DISK_SHARE

    def all(self) -> list[Pack]:
        """Every pack, the most recently used first. Folders that are not packs are ignored."""
        found = (self.find(entry.name) for entry in self._entries())
        return sorted((pack for pack in found if pack), key=lambda pack: -pack.used_s)

    def find(self, name: str) -> Pack | None:
        """The pack with this name; None if it does not exist or its header cannot be read."""
        folder = self.folder / name
        with suppress(OSError, ValueError, TypeError, AttributeError):
            document = json.loads((folder / FACTS).read_text())
            document["checks"] = tuple(document["checks"])
            facts = PackHeader(**document)
            used_s = (folder / FACTS).stat().st_mtime
            return Pack(name, folder, facts, used_s, _size_on_disk(folder))
        return None

    def may_hold(self, count: int, look: Mapping[str, Any], kind: Kind) -> bool:
        """Whether some pack could hold these images: all but the content of the files is equal.

        Args:
            count: number of images.
            look: as in `PackHeader`.
            kind: as in `PackHeader`.
        """
        return any(
            (pack.facts.count, pack.facts.look, pack.facts.kind) == (count, look, kind)
            for pack in self.all()
        )

    def use(self, pack: Pack) -> None:
        """Record that the pack is used now."""
        with suppress(OSError):
            os.utime(pack.folder / FACTS)

    def remove(self, pack: Pack) -> None:
        """Remove a pack, even if it is in use.

        A process that has mapped the pixels can still read them; the disk space is freed when the
        last process has unmapped them.
        """
        _remove(pack.folder)

    @contextmanager
    def making(self, key: str, check: Callable[[], None]) -> Iterator["Making"]:
        """A folder in which one process at a time makes a pack.

        Args:
            key: equal in all processes that would make the same pack.
            check: called again and again while another process makes the pack; may raise an
                exception to end the wait.
        """
        folder = self.folder / f"{MAKING}{key}"
        with self._exclusive(folder, check):
            # Files of a process that was killed while it made the pack.
            for entry in folder.iterdir():
                entry.unlink()
            making = Making(self, folder)
            try:
                yield making
            finally:
                if not making.done:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def room(self, size_bytes: int) -> Iterator[None]:
        """Make room for a pack, and reserve it for the `with` block.

        If necessary, unused packs are removed, the least recently used first. If that would not
        make enough room, none is removed.

        Args:
            size_bytes: disk space that the pack needs.
        Raises:
            NoRoom: there is not enough room, and it cannot be made.
        """
        with self._locked(), ExitStack() as held:
            self._remove_leftovers()
            bound, to_remove = self.max_bytes, []
            taken, free = self.taken_bytes(), shutil.disk_usage(self.folder).free
            unused = iter(sorted(self.all(), key=lambda pack: pack.used_s))
            while taken + size_bytes > bound or size_bytes > free // FREE_SHARE:
                pack = None if size_bytes > bound else next(unused, None)
                if pack is None:
                    raise NoRoom(_why(size_bytes, bound, free))
                if held.enter_context(_unused(pack.folder)):
                    to_remove.append(pack)
                    taken, free = taken - pack.size_bytes, free + pack.size_bytes
            for pack in to_remove:
                _remove(pack.folder)
            yield

    def gc(self, *, everything: bool = False) -> list[tuple[str, int]]:
        """Remove leftovers, and unused packs while all packs together exceed their limit.

        Packs that are in use or that a process is making stay.

        Args:
            everything: whether to remove all unused packs.
        Returns:
            Name and size in bytes of each removed folder.
        """
        if not self.folder.is_dir():
            return []
        with self._locked():
            gone = self._remove_leftovers()
            over = self.taken_bytes() - self.max_bytes
            for pack in reversed(self.all()):
                with _unused(pack.folder) as unused:
                    if unused and (everything or over > 0):
                        gone.append((pack.name, pack.size_bytes))
                        over -= pack.size_bytes
                        _remove(pack.folder)
        return gone

    def _remove_leftovers(self) -> list[tuple[str, int]]:
        """Remove folders of processes that were killed while they made or removed a pack.

        Returns:
            Name and size in bytes of each.
        """
        gone = []
        for entry in self._entries():
            with _abandoned(entry) as abandoned:
                if abandoned and self.find(entry.name) is None:
                    gone.append((entry.name, _size_on_disk(entry)))
                    _remove(entry)
        return gone

    def taken_bytes(self) -> int:
        """Disk space of all packs, finished or not."""
        return sum(map(_size_on_disk, self._entries()))

    def _entries(self) -> list[Path]:
        with suppress(OSError):
            return [entry for entry in self.folder.iterdir() if entry.is_dir()]
        return []

    @contextmanager
    def _exclusive(self, folder: Path, check: Callable[[], None]) -> Iterator[None]:
        """Create a folder and lock it, for one process at a time.

        The process that held the lock before may have renamed or removed the folder. Then the lock
        is on another folder than the path names, and the loop starts again.
        """
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                while not try_lock(descriptor):
                    check()
                    time.sleep(POLL_S)
                if _is_same(descriptor, folder):
                    yield
                    return
            finally:
                os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Making:
    """A pack that this process is making.

    Attributes:
        folder: where its files are written.
        done: whether the folder has become a pack.
    """

    def __init__(self, packs: Packs, folder: Path) -> None:
        self.folder = folder
        self.done = False
        self._packs = packs

    def finish(self, facts: PackHeader) -> Pack:
        """Turn the folder into a pack. The pixels must already be in it, synced to disk.

        If another process has made the same pack meanwhile, from another folder with the same
        content, that pack stays.
        """
        with (self.folder / FACTS).open("w") as file:
            json.dump(asdict(facts), file)
            file.flush()
            os.fsync(file.fileno())
        named = name(facts.content, facts.look, facts.kind)
        target = self._packs.folder / named
        if self._packs.find(named) is None:
            _remove(target)
        with suppress(OSError):
            self.folder.rename(target)
            self.done = True
        sync_folder(self._packs.folder)
        pack = self._packs.find(named)
        if pack is None:
            raise FileNotFoundError(2, "the pack was removed again", str(target))
        return pack


def hold(descriptor: int) -> None:
    """Mark the pixels of a pack as in use while this file is open or mapped.

    Args:
        descriptor: of the open `pixels.npy`.
    """
    # Waits for a process that holds the exclusive lock for a moment, to see whether the pack is in
    # use, or to remove it. A removed file can still be read.
    fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def _unused(folder: Path) -> Iterator[bool]:
    """Whether no process uses the pack. If so, none can start to within the `with` block."""
    try:
        descriptor = os.open(folder / PIXELS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _abandoned(folder: Path) -> Iterator[bool]:
    """Whether no process makes a pack in this folder. If so, none can start to within the block."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _is_same(descriptor: int, folder: Path) -> bool:
    """Whether the path still names the folder that is open as `descriptor`."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _remove(folder: Path) -> None:
    # The header goes first: if this process is killed now, the rest counts as a leftover.
    (folder / FACTS).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _size_on_disk(folder: Path) -> int:
    size_bytes = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            # POSIX counts blocks of 512 bytes, on any file system.
            size_bytes += entry.stat().st_blocks * 512
    return size_bytes


def _why(size_bytes: int, bound: int, free: int) -> str:
    if size_bytes > free // FREE_SHARE:
        return f"{size_bytes:,} bytes are more than half of the {free:,} free bytes"
    return (
        f"{size_bytes:,} bytes do not fit: all packs together may take {bound:,} bytes "
        "(FORNADA_MAX_PACK_BYTES)"
    )
