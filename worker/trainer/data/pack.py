"""Gives the pixels of a folder's files: from a pack, from memory, or decoded in each epoch.

A pack that does not exist yet is made. `fornada.data.packs` describes packs on disk and who may
remove them.
"""

import mmap
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fornada.data import packs
from fornada.data.digests import Digests
from fornada.data.packs import PIXELS, Kind, Making, NoRoom, Pack, PackHeader, Packs
from fornada.settings import Settings
from fornada.worker.trainer.data.decode import Decoder, Observer, Seen, decode_all
from fornada.worker.trainer.data.headers import NoImage
from fornada.worker.trainer.data.image_files import read
from fornada.worker.trainer.data.pixels import Pixels
from fornada.worker.trainer.data.streamed import Files, as_dtype
from fornada.worker.trainer.data.threads import in_threads, spans
from fornada.worker.trainer.process.memory import share

# Images without a pack are kept in memory up to so many bytes, or fewer where memory is short.
# Larger sets are decoded again in each epoch.
IN_MEMORY_BYTES = 2 * 1024**3
# The checksums of a pack cover parts of so many bytes, so that all cores can compute them.
_PART_BYTES = 16 * 1024**2
# Files that a thread reads at a time when it only hashes them.
_HASHED = 64


@dataclass(frozen=True)
class Source:
    """The images of one folder's files.

    Attributes:
        files: paths in the folder, sorted.
        pixels: the images of the files, in this order; empty if a file is bad.
        digests: digest of each file that could be read.
        bad: reason why a file is not an image, by its path.
        pack: the pack that holds the pixels; None without a pack.
        unpacked: reason why there is no pack.
    """

    files: tuple[str, ...]
    pixels: Pixels
    digests: dict[str, str]
    bad: dict[str, str] = field(default_factory=dict)
    pack: Pack | None = None
    unpacked: str = ""


class Packing:
    """Finds or makes the pack for some files of a folder.

    Args:
        folder: folder of images.
        files: paths in the folder, in any order.
        decoder: decodes to the wanted size and colours.
        settings: the home, and how much space packs may take.
        watch: called while files are read.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str],
        decoder: Decoder,
        settings: Settings,
        watch: Observer,
    ) -> None:
        self._folder = folder
        self._files = tuple(sorted(files))
        self._settings = settings
        self._watch = watch
        self._packs = Packs.of(settings)
        self._decoder, look = decoder, decoder.look
        self._shape = (len(self._files), *look.shape)
        # Another version of TensorFlow may give other pixels.
        version = ".".join(tf.__version__.split(".")[:2])
        self._look = asdict(look) | {"image_size": list(look.image_size), "tensorflow": version}

    def source(self, kind: Kind) -> Source:
        """The pixels, in a pack if the spec wants one and the disk has space.

        Args:
            kind: the spec's `data.pack`.
        """
        if kind == "off":
            return self._streamed(kind, "data.pack is off")
        try:
            return self._packed(kind)
        except NoRoom as reason:
            unpacked = str(reason)
        except OSError as error:
            unpacked = f"{error.strerror}: {error.filename or self._packs.folder}"
        print(f"{self._folder}: not packed: {unpacked}")
        try:
            return self._in_memory(kind, unpacked)
        except NoRoom as reason:
            print(f"{self._folder}: decoded anew in each epoch: {reason}")
        return self._streamed(kind, unpacked)

    def _streamed(self, kind: Kind, unpacked: str) -> Source:
        """Pixels decoded in each epoch. First all files are decoded once, unless known as good."""
        try:
            # A pack of kind `off` has no pixels: it records that all files can be decoded.
            source = self._packed("off")
        except (NoRoom, OSError):
            source = self._save_digests(self._decode(lambda start, images: None))
        if source.bad:
            return source
        digests = {file: source.digests[file] for file in self._files}
        files = Files(self._folder, digests, self._decoder, rounded=kind == "uint8")
        return replace(source, pixels=files, pack=None, unpacked=unpacked)

    def _packed(self, kind: Kind) -> Source:
        """Pixels from the pack, which is made if it does not exist.

        Raises:
            NoRoom: there is no pack, and no space for one.
            OSError: packs cannot be written or read in this home.
        """
        if found := self._existing(kind):
            return found
        # The lock is named after the paths, because the contents are only known after decoding.
        wanted = [str(self._folder.resolve()), *self._files, self._look, kind]
        with self._packs.making(packs.key(wanted), self._watch.check) as making:
            return self._existing(kind) or self._make(kind, making)

    def _existing(self, kind: Kind) -> Source | None:
        digests = Digests(self._folder, self._settings)
        known = digests.known(self._files)
        if len(known) < len(self._files) and self._packs.may_hold(
            len(self._files), self._look, kind
        ):
            known |= self._hash([file for file in self._files if file not in known], digests)
        if len(known) < len(self._files):
            return None
        pack = self._packs.find(packs.name(packs.content(known), self._look, kind))
        if pack is None or pack.facts.largest > self._decoder.max_pixels:
            return None
        source = Source(self._files, _empty(self._shape), known, pack=pack)
        if kind != "off":
            pixels = mapped(pack, self._shape, self._watch)
            if pixels is None:
                if pack.folder.is_dir():
                    print(f"{self._folder}: the pack {pack.name} is damaged, and is made again")
                    self._packs.remove(pack)
                return None
            source = replace(source, pixels=pixels)
        self._packs.use(pack)
        return source

    def _hash(self, files: Sequence[str], digests: Digests) -> dict[str, str]:
        """Read files only to compute their digests."""
        found = {}

        def work(span: range) -> int:
            for file in files[span.start : span.stop]:
                try:
                    one = read(f"{self._folder}/{file}", self._decoder.max_pixels)
                except (OSError, NoImage):
                    # Decoding the file will report the reason.
                    continue
                found[file] = one.digest
                digests.add(file, one.stamp, one.digest)
            return len(span)

        for _ in in_threads(work, spans(len(files), _HASHED), self._watch.check):
            pass
        digests.save()
        return found

    def _make(self, kind: Kind, making: Making) -> Source:
        began = time.monotonic()
        filling = None
        if kind == "off":
            seen = self._decode(lambda start, images: None)
        else:
            filling = _PackFilling(self._shape, kind, making, self._packs)
            seen = self._decode(filling.put)
        with ThreadPoolExecutor(1, "digests") as thread:
            saved = thread.submit(self._save_digests, seen)
            written = filling.finish(self._watch) if filling and not seen.bad else {}
        source = saved.result()
        if source.bad:
            return source
        facts = PackHeader(
            content=packs.content(source.digests),
            look=self._look,
            kind=kind,
            classes=dict(Counter(file.split("/", 1)[0] for file in self._files)),
            largest=seen.largest,
            source=str(self._folder),
            **written,
        )
        pack = making.finish(facts)
        if filling is None:
            return replace(source, pack=pack)
        pixels = mapped(pack, self._shape, self._watch, verified=True)
        if pixels is None:
            raise FileNotFoundError(2, "the pack is gone again", str(pack.folder))
        seconds = time.monotonic() - began
        print(f"{self._folder}: packed {len(self._files)} images in {seconds:.1f} s: {pack.name}")
        return replace(source, pixels=pixels, pack=pack)

    def _in_memory(self, kind: Kind, unpacked: str) -> Source:
        filling = _Filling(self._shape, kind)
        source = self._save_digests(self._decode(filling.put))
        return source if source.bad else replace(source, pixels=filling.array, unpacked=unpacked)

    def _decode(self, store: Callable[[int, NDArray[Any]], None]) -> Seen:
        return decode_all(self._folder, self._files, self._decoder, store, self._watch)

    def _save_digests(self, seen: Seen) -> Source:
        """Save the digests of the files that were read; a source that has no pixels yet."""
        digests = Digests(self._folder, self._settings)
        for file, (digest, stamp) in seen.digests.items():
            digests.add(file, stamp, digest)
        digests.save()
        by_file = {file: digest for file, (digest, _) in seen.digests.items()}
        return Source(self._files, _empty(self._shape), by_file, dict(sorted(seen.bad.items())))


def mapped(
    pack: Pack, shape: tuple[int, ...], watch: Observer, *, verified: bool = False
) -> NDArray[Any] | None:
    """Map the pixels of a pack from its file. The pack counts as in use while the array exists.

    Args:
        pack: a pack of any kind except `off`.
        shape: expected shape of the pixels.
        watch: its `check` is called while checksums are computed.
        verified: True for a pack that was just made: its checksums are not compared.
    Returns:
        A read-only array; None if the pack is damaged or was removed.
    """
    try:
        with (pack.folder / PIXELS).open("rb") as file:
            # Take a shared lock: the pack is in use from here on.
            packs.hold(file.fileno())
            size = os.fstat(file.fileno()).st_size
            if size != pack.facts.size_bytes:
                return None
            if not verified and _checks(file.fileno(), size, watch) != pack.facts.checks:
                return None
            np.lib.format.read_magic(file)
            found, _, dtype = np.lib.format.read_array_header_1_0(file)
            if found != shape:
                return None
            # The map keeps the file open, and so locked, until the last array is gone.
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return np.frombuffer(pages, dtype, offset=file.tell()).reshape(shape)
    except (FileNotFoundError, ValueError):
        return None


def _checks(descriptor: int, size: int, watch: Observer) -> tuple[int, ...]:
    """CRC-32 of each part of a file."""
    checks = [0] * -(-size // _PART_BYTES)

    def work(parts: range) -> int:
        for part in parts:
            checks[part] = zlib.crc32(os.pread(descriptor, _PART_BYTES, part * _PART_BYTES))
        return len(parts)

    for _ in in_threads(work, spans(len(checks), 1), watch.check):
        pass
    return tuple(checks)


class _Filling:
    """An array to fill with images: uint8 while all values are whole, float32 from then on."""

    def __init__(self, shape: tuple[int, ...], kind: Kind) -> None:
        self._shape = shape
        self._kind = kind
        self.array: NDArray[Any] = _empty(shape)

    def put(self, start: int, images: NDArray[Any]) -> None:
        """Store images from position `start` on."""
        images = as_dtype(images, np.dtype(np.uint8)) if self._kind == "uint8" else images
        empty = not len(self.array)
        if images.dtype != np.uint8 and (empty or self.array.dtype == np.uint8):
            images = _bytes_if_exact(images)
        if empty:
            self.array = self.allocate(images.dtype)
        elif self.array.dtype == np.uint8 != images.dtype:
            uint8_array, self.array = self.array, self.allocate(images.dtype)
            self.array[:] = uint8_array
        self.write(start, images.astype(self.array.dtype, copy=False))

    def write(self, start: int, images: NDArray[Any]) -> None:
        """Store images of the array's type from position `start` on."""
        self.array[start : start + len(images)] = images

    def allocate(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Create an array of the whole shape.

        Raises:
            NoRoom: the array is too large for memory.
        """
        size = _bytes(self._shape, dtype)
        if size > share(IN_MEMORY_BYTES):
            raise NoRoom(f"{size:,} bytes are more than may be held in memory")
        return np.zeros(self._shape, dtype)


class _PackFilling(_Filling):
    """An array to fill with images, stored in the file of a new pack."""

    def __init__(self, shape: tuple[int, ...], kind: Kind, making: Making, packs: Packs) -> None:
        super().__init__(shape, kind)
        self._making = making
        self._packs = packs

    def allocate(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """See `_Filling.allocate`; here NoRoom says why the array cannot be on disk."""
        size = _bytes(self._shape, dtype)
        path = self._file(dtype)
        with self._packs.room(size):
            array = np.lib.format.open_memmap(path, "w+", dtype, self._shape, version=(1, 0))
            # Reserve the space now: if the disk were full later, writing to the map would kill
            # this process by a signal.
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array

    def write(self, start: int, images: NDArray[Any]) -> None:
        """See `_Filling.write`. Not through the map: the kernel would read each page first."""
        assert isinstance(self.array, np.memmap)  # noqa: S101 - `allocate` made it
        with self._file(images.dtype).open("r+b") as file:
            file.seek(self.array.offset + start * images[0].nbytes)
            file.write(np.ascontiguousarray(images).data)

    def finish(self, watch: Observer) -> dict[str, Any]:
        """Flush the pixels to disk.

        Returns:
            The fields of the pack's header that describe the pixels.
        """
        dtype = self.array.dtype
        path = self._making.folder / PIXELS
        self._file(dtype).rename(path)
        for rest in self._making.folder.glob("*.npy"):
            if rest != path:
                rest.unlink()
        with path.open("r+b") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
            checks = _checks(file.fileno(), size, watch)
        return {
            "dtype": dtype.name,
            "size_bytes": size,
            "checks": checks,
            "part_bytes": _PART_BYTES,
        }

    def _file(self, dtype: np.dtype[Any]) -> Path:
        """File of the array of a type until the pack is complete."""
        return self._making.folder / f"{dtype.name}.npy"


def _bytes_if_exact(images: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):
        exact = images.astype(np.uint8)
    return exact if np.array_equal(exact, images) else images


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def _empty(shape: tuple[int, ...]) -> NDArray[Any]:
    return np.zeros((0, *shape[1:]), np.uint8)
