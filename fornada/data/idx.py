"""Turns IDX files, the format of MNIST and similar sets, into folders of images.

The format: http://yann.lecun.com/exdb/mnist/ (a magic number with type and rank, the sizes, then
the bytes). Images become 8-bit grayscale PNG files (ISO/IEC 15948), by the standard library.
"""

import gzip
import hashlib
import shutil
import struct
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fornada.errors import FornadaError

# The two halves of a set: the folder of each, and the prefix of its IDX files.
HALVES = {"Train": "train", "Test": "t10k"}
# The third byte of the magic number: unsigned bytes.
UNSIGNED_BYTE = 0x08
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Images between two reports of progress: a report takes longer than writing one image.
IMAGES_PER_REPORT = 500


class IdxError(FornadaError):
    """An IDX file is missing or damaged."""

    code: ClassVar[str] = "DATA_INVALID"


class TargetExists(FornadaError):
    """The folder for the images already exists."""

    code: ClassVar[str] = "TARGET_EXISTS"


@dataclass(frozen=True)
class IdxImages:
    """The images of one IDX file: 8-bit gray values, one image after another in `pixels`."""

    height: int
    width: int
    pixels: memoryview

    def __len__(self) -> int:
        return len(self.pixels) // (self.height * self.width)

    def __getitem__(self, index: int) -> memoryview:
        size = self.height * self.width
        return self.pixels[index * size : (index + 1) * size]


@dataclass(frozen=True)
class Sample:
    """A random sample of each class.

    Attributes:
        per_class: number of images; None: all.
        seed: decides which images.
    """

    per_class: int | None
    seed: int

    def of(self, indices: Sequence[int]) -> list[int]:
        """The sampled indices, ascending. They are the same on every machine and Python version."""
        if self.per_class is None:
            return list(indices)

        def draw(index: int) -> bytes:
            return hashlib.sha256(f"{self.seed}:{index}".encode()).digest()

        return sorted(sorted(indices, key=draw)[: self.per_class])


def import_idx(
    source: Path,
    target: Path,
    choices: dict[str, Sample],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Write the images of IDX files as `target/Train/<label>/<index>.png` and `target/Test/…`.

    Each half is written to a temporary folder, which is renamed when the half is complete.

    Args:
        source: folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the `t10k-…`
            pair, each plain or as `.gz`.
        target: folder to write to; its `Train` and `Test` must not exist.
        choices: the sample of each half, by the names of `HALVES`.
        progress: called with the number of images written and of all images.
    Returns:
        The number of images written, by half.
    Raises:
        TargetExists: one of the two folders already exists.
        IdxError: a file is missing or damaged.
    """
    for half in HALVES:
        if (target / half).exists():
            raise TargetExists(
                f"{target / half} already exists. Name another folder, or remove it."
            )
    halves = {half: _chosen(source, prefix, choices[half]) for half, prefix in HALVES.items()}
    total = sum(len(chosen) for _, chosen in halves.values())
    done = 0
    for half, (images, chosen) in halves.items():
        for written in _write_half(target / half, images, chosen):
            progress(done + written, total)
        done += len(chosen)
    return {half: len(chosen) for half, (_, chosen) in halves.items()}


def _chosen(source: Path, prefix: str, choice: Sample) -> tuple[IdxImages, list[tuple[int, int]]]:
    """The images of one half, and the (label, index) pairs of the sampled images."""
    images = _read_images(_find(source, f"{prefix}-images-idx3-ubyte"))
    labels = _read_labels(_find(source, f"{prefix}-labels-idx1-ubyte"))
    if len(images) != len(labels):
        raise IdxError(
            f"{source}: the {prefix} files hold {len(images)} images and {len(labels)} labels. "
            "Expected one label for each image. Are the files from the same set?"
        )
    by_label: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        by_label[label].append(index)
    return images, [(label, i) for label in sorted(by_label) for i in choice.of(by_label[label])]


def _write_half(folder: Path, images: IdxImages, chosen: list[tuple[int, int]]) -> Iterator[int]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    beside.chmod(0o755)
    try:
        for count, (label, index) in enumerate(chosen, start=1):
            class_folder = beside / str(label)
            class_folder.mkdir(exist_ok=True)
            png = encode_png(images[index], images.height, images.width)
            (class_folder / f"{index:05d}.png").write_bytes(png)
            if count % IMAGES_PER_REPORT == 0 or count == len(chosen):
                yield count
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _find(source: Path, name: str) -> Path:
    for candidate in (source / name, source / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise IdxError(f"{source / name} (or {name}.gz) is missing. An IDX set has four such files.")


def _read(path: Path, rank: int) -> tuple[tuple[int, ...], memoryview]:
    """The sizes and the bytes of an IDX file. It must have unsigned bytes and `rank` dimensions."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise IdxError(f"{path} cannot be read: {error}.") from error
    header = 4 + 4 * rank
    if len(content) < header or content[:4] != bytes([0, 0, UNSIGNED_BYTE, rank]):
        raise IdxError(f"{path} is not an IDX file of unsigned bytes with {rank} dimensions.")
    sizes = struct.unpack(f">{rank}I", content[4:header])
    body = memoryview(content)[header:]
    expected = 1
    for size in sizes:
        expected *= size
    if len(body) != expected:
        raise IdxError(f"{path} holds {len(body)} bytes after its header, not {expected}.")
    if expected == 0:
        raise IdxError(f"{path} is an IDX file without content: a size in its header is 0.")
    return sizes, body


def _read_images(path: Path) -> IdxImages:
    (_, height, width), pixels = _read(path, rank=3)
    return IdxImages(height, width, pixels)


def _read_labels(path: Path) -> memoryview:
    return _read(path, rank=1)[1]


def encode_png(pixels: memoryview | bytes, height: int, width: int) -> bytes:
    """An 8-bit grayscale PNG file.

    Args:
        pixels: height * width bytes, row by row, 0 black to 255 white.
        height: rows.
        width: columns.
    """
    # Each row begins with the number of its filter: 0 means no filter.
    rows = b"".join(
        b"\x00" + bytes(pixels[row * width : (row + 1) * width]) for row in range(height)
    )
    # Bit depth 8, colour type 0 (gray), the standard compression, filter and interlace methods.
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            PNG_SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
