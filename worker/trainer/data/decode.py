"""Decodes all images of a listing with TensorFlow's decoder, as Keras's reader does.

One pass over the files: read, hash, look at the header, decode and resize in parallel, store.
A file that cannot be decoded is remembered, so that all of them are named at once.
"""

import os
import stat
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fornada.fingerprint import digest
from fornada.folders import Listing
from worker.trainer.data.headers import NoImage, pixels

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}

# Arrays above this many bytes lie in a scratch file, so that the kernel may drop their pages.
_IN_MEMORY_BYTES = 2 * 1024**3
# Decoded images travel from TensorFlow in groups of about this many bytes.
_GROUP_BYTES = 8 * 1024**2
# Files read ahead of the decoder at once, and their bytes: enough to keep it busy, few enough to
# hold in memory. A larger file goes alone.
_READ_AHEAD = 64
_READ_AHEAD_BYTES = 32 * 1024**2
# Threads that read. They wait for disks and networks; hashing and headers take little.
_READERS = 4
# No file of a listed format needs more bytes a pixel (16-bit RGBA), but for some header.
_BYTES_A_PIXEL = 8
_HEADER_BYTES = 1024**2


@dataclass(frozen=True)
class Look:
    """What changes pixels: the arguments of Keras's reader.

    Attributes:
        image_size: height, width.
        color_mode: grayscale, rgb or rgba.
        interpolation: how images are resized.
        crop_to_aspect_ratio: whether the longer side is cropped first.
    """

    image_size: tuple[int, int]
    color_mode: str
    interpolation: str
    crop_to_aspect_ratio: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (*self.image_size, CHANNELS[self.color_mode])


@dataclass
class Decoded:
    """The images of a listing.

    Attributes:
        images: shape (count, height, width, channels); uint8 while every value is a whole number
            of 0-255, as it is where nothing was resized, else float32. Exactly Keras's values.
        digests: `size sha256` of each file.
        bad: reason of each file that is no image, by its path in the listing.
    """

    images: NDArray[Any]
    digests: list[str]
    bad: dict[str, str] = field(default_factory=dict)


def decode(
    listing: Listing,
    look: Look,
    *,
    max_pixels: int,
    scratch: Path,
    check: Callable[[], None],
) -> Decoded:
    """Decode every file of a listing.

    Args:
        listing: its order is the order of the result.
        look: size and colours of the result.
        max_pixels: a larger image is refused by its header.
        scratch: folder for a large array; the file has no name and vanishes with the process.
        check: called between groups of images; what it raises ends the decoding.
    """
    reader = _Reader(listing, max_pixels)
    store = _Store(len(listing.files), look.shape, scratch)
    seen = np.zeros(len(listing.files), bool)
    for positions, images in _pipeline(reader, look):
        check()
        store.put(positions.numpy(), images.numpy())
        seen[positions.numpy()] = True
    for position in np.flatnonzero(~seen):
        file = listing.files[position]
        if file not in reader.bad:
            reader.bad[file] = _why(listing.folder / file, look)
    return Decoded(store.array, reader.digests, dict(sorted(reader.bad.items())))


class _Reader:
    """Reads files ahead of the decoder, in threads, and looks at their headers."""

    def __init__(self, listing: Listing, max_pixels: int) -> None:
        self.digests = [""] * len(listing.files)
        self.bad: dict[str, str] = {}
        self._folder = listing.folder
        self._files = listing.files
        self._max_pixels = max_pixels

    def chunks(self) -> Iterator[tuple[list[int], list[bytes]]]:
        """Positions and contents of the files that look like images, some at a time."""
        ahead: deque[Future[tuple[list[int], list[bytes]]]] = deque()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
            for span in self._spans():
                ahead.append(pool.submit(self._read_span, span))
                if len(ahead) > _READERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _spans(self) -> Iterator[range]:
        start, size = 0, 0
        for position, file in enumerate(self._files):
            # What cannot be asked cannot be read either, which says why.
            with suppress(OSError):
                size += os.stat(f"{self._folder}/{file}").st_size  # noqa: PTH116 - twice as fast
            if size > _READ_AHEAD_BYTES or position + 1 - start == _READ_AHEAD:
                yield range(start, position + 1)
                start, size = position + 1, 0
        yield range(start, len(self._files))

    def _read_span(self, span: range) -> tuple[list[int], list[bytes]]:
        # A task for many files: handing one over costs more than reading a small one.
        contents = [self._read(position) for position in span]
        good = [(i, content) for i, content in zip(span, contents, strict=True) if content]
        return [i for i, _ in good], [content for _, content in good]

    def _read(self, position: int) -> bytes | None:
        file = self._files[position]
        try:
            content = _content(f"{self._folder}/{file}", self._max_pixels)
            self._check(pixels(content))
        except NoImage as finding:
            self.bad[file] = str(finding)
            return None
        except OSError as error:
            self.bad[file] = f"cannot be read: {error.strerror}"
            return None
        self.digests[position] = digest(content)
        return content

    def _check(self, count: int) -> None:
        if count > self._max_pixels:
            raise NoImage(
                f"{count:,} pixels; at most {self._max_pixels:,} (FORNADA_MAX_IMAGE_PIXELS)"
            )


def _content(path: str, max_pixels: int) -> bytes:
    """The bytes of a file that is small enough to be an image."""
    # Without O_NONBLOCK a pipe that is named like an image would hold us here for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NoImage("not a file")
        if status.st_size > max_pixels * _BYTES_A_PIXEL + _HEADER_BYTES:
            raise NoImage(f"{status.st_size:,} bytes are too many for an image")
        parts = []
        while part := os.read(fd, status.st_size + 1):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


class _Store:
    """The array that grows full: bytes as long as that is exact, float32 from then on."""

    def __init__(self, count: int, shape: tuple[int, int, int], scratch: Path) -> None:
        self._scratch = scratch
        self.array = self._allocate((count, *shape), np.dtype(np.uint8))

    def put(self, positions: NDArray[np.int64], images: NDArray[np.float32]) -> None:
        if self.array.dtype == np.uint8:
            exact = images.astype(np.uint8)
            if np.array_equal(exact, images):
                self.array[positions] = exact
                return
            wide = self._allocate(self.array.shape, np.dtype(np.float32))
            wide[:] = self.array
            self.array = wide
        self.array[positions] = images

    def _allocate(self, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size <= _IN_MEMORY_BYTES:
            return np.zeros(shape, dtype)
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            # Asks for the room now: a full disk behind a map would end us by a signal.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=tuple(shape))


def _pipeline(reader: _Reader, look: Look) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Groups of (positions, float32 images); files that fail to decode are left out."""
    contents = tf.data.Dataset.from_generator(
        reader.chunks,
        output_signature=(tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.string)),
    ).unbatch()
    group = max(1, min(512, _GROUP_BYTES // (4 * int(np.prod(look.shape)))))
    decoded = contents.map(
        tf.autograph.experimental.do_not_convert(
            lambda position, content: (position, _image(content, look))
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=False,
    )
    return iter(decoded.ignore_errors().batch(group).prefetch(1))


def _image(content: tf.Tensor, look: Look) -> tf.Tensor:
    """One image as `keras/src/utils/image_dataset_utils.py` (`_load_image_tf`) makes it."""
    image = tf.image.decode_image(
        content, channels=CHANNELS[look.color_mode], expand_animations=False
    )
    if look.crop_to_aspect_ratio:
        image = keras.preprocessing.image.smart_resize(
            image, look.image_size, interpolation=look.interpolation, data_format="channels_last"
        )
    else:
        image = tf.image.resize(image, look.image_size, method=look.interpolation)
    return tf.ensure_shape(tf.cast(image, tf.float32), look.shape)


def _why(path: Path, look: Look) -> str:
    """What TensorFlow says about a file that it did not decode."""
    try:
        _image(tf.constant(path.read_bytes()), look)
    except tf.errors.OpError as error:
        return f"cannot be decoded: {_short(error.message)}"
    except ValueError as error:
        return f"cannot be decoded: {_short(str(error))}"
    return "cannot be decoded"


def _short(message: str) -> str:
    """Without the names of TensorFlow's own operations."""
    text = message.split("} ", 1)[-1].split(" [Op:", 1)[0].splitlines()
    return text[0][:200] if text else "no reason given"
