"""The packs of this host: data sets decoded once, each a folder under `packs/` in the home.

    packs/<name>/pack.json     what it holds; its time of change is when it was last used
    packs/<name>/pixels.npy    the images, as `numpy.load` reads them; none in a pack of kind `off`
    packs/making-<key>/        one that is being made, locked by its maker
    packs/lock                 held while room is made and taken

Who uses the pixels holds a shared lock on their file, which the kernel keeps for as long as they
are mapped. This module finds, counts and removes packs; `fornada.worker.trainer.data.pack` makes
them.
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
from fornada.settings import Settings
from fornada.sync import sync_folder

PIXELS = "pixels.npy"
FACTS = "pack.json"
MAKING = "making-"
# Bumped when packs of before can be used no more: it is a part of every name.
FORMAT = 1
# Without a bound of the operator's, packs take this share of their disk at most.
DISK_SHARE = 4
# And one alone this share of what is free.
FREE_SHARE = 2
# Between two looks whether another process has made the pack: decoding takes seconds.
POLL_S = 0.05

Kind = Literal["exact", "uint8", "off"]


class NoRoom(Exception):  # a finding: the images are used without a pack
    """The pack would take more than packs may, or too much of what is free."""


@dataclass(frozen=True)
class PackHeader:
    """What a pack holds.

    Attributes:
        content: `content` of its files.
        look: what changes pixels: the arguments of Keras's reader, and TensorFlow's version.
        kind: `exact`; `uint8`, which is rounded; `off`: that all files can be decoded, alone.
        classes: how many images each class has; images are sorted by path, so by class.
        largest: pixels of the largest file, before it was resized.
        source: the folder that it was made from.
        dtype: of the pixels, by numpy's name; None without pixels.
        size_bytes: of `pixels.npy`.
        checks: CRC-32 of each part of `pixels.npy`.
        part_bytes: how long a part is.
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
        """How many images it holds."""
        return sum(self.classes.values())


@dataclass(frozen=True)
class Pack:
    """A pack as it lies on disk.

    Attributes:
        used_s: when it was last used, in seconds since 1970.
        size_bytes: what it takes of the disk.
    """

    name: str
    folder: Path
    facts: PackHeader
    used_s: float
    size_bytes: int

    @property
    def in_use(self) -> bool:
        """Whether a process has its pixels mapped, or is about to."""
        with _unused(self.folder) as unused:
            return not unused


def content(files: Mapping[str, str]) -> str:
    """The fingerprint of one folder's files.

    Args:
        files: digest of each, by its path `class/name.png`.
    """
    return fingerprint(("", file, found) for file, found in files.items())


def name(content: str, look: Mapping[str, Any], kind: Kind) -> str:
    """What a pack is called: by all that decides its pixels."""
    return key([FORMAT, content, dict(look), kind])


def key(document: Any) -> str:
    """A short name for a JSON document, hexadecimal."""
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Packs:
    """All packs of a home.

    Args:
        folder: `packs` in the home; made when the first pack is.
        max_bytes: what they may take together; None: a quarter of their disk.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self.folder = folder
        self._max_bytes = max_bytes

    @classmethod
    def of(cls, settings: Settings) -> "Packs":
        """Those of the settings' home."""
        return cls(settings.home / "packs", settings.max_pack_bytes)

    @property
    def max_bytes(self) -> int:
        """What all may take together."""
        if self._max_bytes is not None:
            return self._max_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).total // DISK_SHARE

    def all(self) -> list[Pack]:
        """Every pack, the one that was used last first; what is no pack is passed over."""
        found = (self.find(entry.name) for entry in self._entries())
        return sorted((pack for pack in found if pack), key=lambda pack: -pack.used_s)

    def find(self, name: str) -> Pack | None:
        """The pack of a name, if it is there and says what it holds."""
        folder = self.folder / name
        with suppress(OSError, ValueError, TypeError, AttributeError):
            document = json.loads((folder / FACTS).read_text())
            document["checks"] = tuple(document["checks"])
            facts = PackHeader(**document)
            return Pack(name, folder, facts, (folder / FACTS).stat().st_mtime, _taken(folder))
        return None

    def may_hold(self, count: int, look: Mapping[str, Any], kind: Kind) -> bool:
        """Whether some pack could be that of so many images, by all but their content."""
        return any(
            (pack.facts.count, pack.facts.look, pack.facts.kind) == (count, look, kind)
            for pack in self.all()
        )

    def use(self, pack: Pack) -> None:
        """Note that it is used now."""
        with suppress(OSError):
            os.utime(pack.folder / FACTS)

    def remove(self, pack: Pack) -> None:
        """Remove a pack whoever uses it: mapped pixels stay readable, and go with the last map."""
        _remove(pack.folder)

    @contextmanager
    def making(self, key: str, check: Callable[[], None]) -> Iterator["Making"]:
        """A folder to make a pack in, for one process at a time.

        Args:
            key: the same for all who would make the same pack.
            check: called while another one makes it; what it raises ends the wait.
        """
        folder = self.folder / f"{MAKING}{key}"
        with self._own(folder, check):
            # What a maker that was killed has left.
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
        """Make room for so many bytes, and keep it until they are taken in the `with` block.

        Packs that nobody uses go, the one that was used longest ago first, if that helps.

        Raises:
            NoRoom: there is none and none can be made.
        """
        with self._locked(), ExitStack() as held:
            self._sweep()
            bound, victims = self.max_bytes, []
            taken, free = self.taken_bytes(), shutil.disk_usage(self.folder).free
            unused = iter(sorted(self.all(), key=lambda pack: pack.used_s))
            while taken + size_bytes > bound or size_bytes > free // FREE_SHARE:
                pack = None if size_bytes > bound else next(unused, None)
                if pack is None:
                    raise NoRoom(_why(size_bytes, bound, free))
                if held.enter_context(_unused(pack.folder)):
                    victims.append(pack)
                    taken, free = taken - pack.size_bytes, free + pack.size_bytes
            for pack in victims:
                _remove(pack.folder)
            yield

    def gc(self, *, everything: bool = False) -> list[tuple[str, int]]:
        """Remove leftovers and packs over the bound; nothing that is in use or being made.

        Args:
            everything: whether all packs go that nobody uses.
        Returns:
            Name and size in bytes of each folder that went.
        """
        if not self.folder.is_dir():
            return []
        with self._locked():
            gone = self._sweep()
            over = self.taken_bytes() - self.max_bytes
            for pack in reversed(self.all()):
                with _unused(pack.folder) as unused:
                    if unused and (everything or over > 0):
                        gone.append((pack.name, pack.size_bytes))
                        over -= pack.size_bytes
                        _remove(pack.folder)
        return gone

    def _sweep(self) -> list[tuple[str, int]]:
        """Remove what makers that were killed have left; name and size of each."""
        gone = []
        for entry in self._entries():
            with _abandoned(entry) as abandoned:
                if abandoned and self.find(entry.name) is None:
                    gone.append((entry.name, _taken(entry)))
                    _remove(entry)
        return gone

    def taken_bytes(self) -> int:
        """What packs, and those that are being made, take of the disk."""
        return sum(map(_taken, self._entries()))

    def _entries(self) -> list[Path]:
        with suppress(OSError):
            return [entry for entry in self.folder.iterdir() if entry.is_dir()]
        return []

    @contextmanager
    def _own(self, folder: Path, check: Callable[[], None]) -> Iterator[None]:
        """Lock a folder, which is made; a maker before us may rename or remove it meanwhile."""
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                while not _lock(descriptor, fcntl.LOCK_EX):
                    check()
                    time.sleep(POLL_S)
                if _same(descriptor, folder):
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
    """A pack that is being made by this process.

    Attributes:
        folder: where its files are written.
        done: whether it has become a pack.
    """

    def __init__(self, packs: Packs, folder: Path) -> None:
        self.folder = folder
        self.done = False
        self._packs = packs

    def finish(self, facts: PackHeader) -> Pack:
        """Make it a pack; its pixels lie in the folder already, synced.

        Where the same content has become a pack meanwhile, from another folder, that one stays.
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
            raise FileNotFoundError(2, "the pack is gone again", str(target))
        return pack


def hold(descriptor: int) -> None:
    """Hold the pixels of a pack for as long as this open file, or a map of it, is open."""
    # Another holds them alone for a moment, to see whether they are used or to remove them; then
    # they can be read all the same.
    fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def _unused(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the pack in this folder; nobody begins to within the `with` block."""
    try:
        descriptor = os.open(folder / PIXELS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


@contextmanager
def _abandoned(folder: Path) -> Iterator[bool]:
    """Whether no living process makes a pack in this folder; none begins to within the block."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _remove(folder: Path) -> None:
    # First what makes it a pack: should we be killed, the rest is told as a leftover.
    (folder / FACTS).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _taken(folder: Path) -> int:
    taken = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            taken += entry.stat().st_blocks * 512
    return taken


def _why(size_bytes: int, bound: int, free: int) -> str:
    if size_bytes > free // FREE_SHARE:
        return f"{size_bytes:,} bytes are more than half of the {free:,} that are free"
    return (
        f"{size_bytes:,} bytes do not fit in the {bound:,} that packs may take "
        "(FORNADA_MAX_PACK_BYTES)"
    )
