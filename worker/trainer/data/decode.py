"""Decodes images with TensorFlow's decoder, as Keras's reader does, on all cores.

A call of TensorFlow costs more than decoding a small image, so many images go in one: a graph in
which each has its own operations, which TensorFlow runs side by side.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fornada.data.digests import Stamp
from fornada.worker.trainer.data.headers import NoImage
from fornada.worker.trainer.data.image_files import Read, read
from fornada.worker.trainer.data.reasons import why
from fornada.worker.trainer.data.threads import Turns, in_threads, spans
from fornada.worker.trainer.process.memory import ceiling

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}

# Files that a thread reads and decodes in one go: a power of two, less where images are large:
# neither what is read nor what is decoded takes many more bytes than this in each thread.
_SPAN = 128
_SPAN_BYTES = 32 * 1024**2
# Images in one call of TensorFlow where they are resized: to build the graph takes a millisecond
# for each, and a tenth of that for each that is not resized.
_RESIZED = 16
# Larger images go alone: a graph holds all its decoded images in memory at once.
_PIXELS_TOGETHER = 2**22
# These leave an image as it is that has the size already; others sharpen or blur it.
_IDENTICAL = ("bilinear", "nearest")
# Copies of what a thread decodes that it holds at once: TensorFlow's before and after resizing,
# ours, and what tells whether they are whole numbers.
_COPIES = 4
# What all threads may hold of the memory: beside them there is no model yet.
_DECODING = 1 / 2


@dataclass(frozen=True)
class ReaderArguments:
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

    @property
    def decoded_bytes(self) -> int:
        """Of one image, as float32."""
        return 4 * math.prod(self.shape)


class Decoder:
    """Decodes images to one look; any thread may ask, and several at once.

    Args:
        look: size and colours of the result.
        max_pixels: a larger image is refused by its header.
    """

    def __init__(self, look: ReaderArguments, max_pixels: int) -> None:
        self.look = look
        self.max_pixels = max_pixels
        self._lock = threading.Lock()
        self._graphs: dict[tuple[int, bool], Any] = {}
        self._as_they_are = look.interpolation in _IDENTICAL and not look.crop_to_aspect_ratio
        most = max(1, min(_SPAN, _SPAN_BYTES // look.decoded_bytes))
        # Images that are best decoded in one go.
        self.span = 2 ** (most.bit_length() - 1)

    @property
    def threads(self) -> int:
        """How many may decode at once, by the memory there is."""
        each: int = _COPIES * self.span * self.look.decoded_bytes
        return max(1, int(ceiling() * _DECODING) // each)

    def spread(
        self, work: Callable[[range], int], count: int, check: Callable[[], None]
    ) -> Iterator[int]:
        """What the work on each span of so many images gives, in order, on its threads."""
        return in_threads(work, spans(count, self.span), check, most=self.threads)

    def decode(self, files: Sequence[Read]) -> tuple[NDArray[Any], dict[int, str]]:
        """The images of some files, exactly as Keras's reader gives them.

        Returns:
            Array of shape (files, height, width, channels), uint8 or float32, whichever was
            faster; and why a file cannot be decoded, by its place. The row of such a file is 0.
        """
        pixels = sum(file.pixels for file in files)
        for size, resized in ((self.span, False), (min(_RESIZED, self.span), True)):
            # The last graph is filled up with copies: not worth it where most would be.
            if pixels > _PIXELS_TOGETHER or 2 * len(files) < size:
                continue
            if resized or self._as_they_are:
                images = self._together(files, size, resized=resized)
                if images is not None:
                    return images, {}
                # They have another size or one is broken: those to come are alike.
                self._as_they_are = False
        return self._alone(files)

    def _together(self, files: Sequence[Read], size: int, *, resized: bool) -> NDArray[Any] | None:
        """So many images a call; None where one cannot be decoded, or has another size."""
        graph = self._graph(size, resized=resized)
        parts = []
        try:
            for start in range(0, len(files), size):
                contents = [file.content for file in files[start : start + size]]
                copies = [contents[0]] * (size - len(contents))
                # Without the copy that `numpy()` makes.
                images = np.asarray(graph(tf.constant(contents + copies)))
                parts.append(images[: len(contents)])
        except (tf.errors.OpError, ValueError):
            return None
        images = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return images if images.shape[1:] == self.look.shape else None

    def _alone(self, files: Sequence[Read]) -> tuple[NDArray[np.float32], dict[int, str]]:
        images = np.zeros((len(files), *self.look.shape), np.float32)
        bad, look = {}, self.look
        graph = self._graph(1, resized=True)
        for place, file in enumerate(files):
            try:
                images[place] = graph(tf.constant([file.content])).numpy()[0]
            except (tf.errors.OpError, ValueError) as error:
                reason = why(getattr(error, "message", str(error)), file.content, look.color_mode)
                bad[place] = f"cannot be decoded: {reason}"
        return images, bad

    def _graph(self, size: int, *, resized: bool) -> Any:
        with self._lock:
            if (size, resized) not in self._graphs:
                self._graphs[size, resized] = self._build(size, resized=resized)
            return self._graphs[size, resized]

    def _build(self, size: int, *, resized: bool) -> Any:
        one = _resized if resized else _decoded

        def images(contents: tf.Tensor) -> tf.Tensor:
            # A GPU resizes to other numbers.
            with tf.device("/CPU:0"):
                return tf.stack([one(content, self.look) for content in tf.unstack(contents)])

        made = tf.function(
            images, input_signature=[tf.TensorSpec([size], tf.string)], autograph=False
        )
        return made.get_concrete_function()


@dataclass
class Seen:
    """What was learned of files while they were decoded.

    Attributes:
        digests: of each file that could be read, and its stamp before.
        bad: why a file is no image, by its path.
        largest: pixels of the largest image.
    """

    digests: dict[str, tuple[str, Stamp]] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    largest: int = 0


@dataclass(frozen=True)
class Observer:
    """Who looks on while many files are read.

    Attributes:
        check: called several times a second; what it raises ends the reading.
        tell: called with how many files are done, and how many there are.
    """

    check: Callable[[], None] = lambda: None
    tell: Callable[[int, int], None] = lambda done, total: None


def decode_all(
    folder: Path,
    files: Sequence[str],
    decoder: Decoder,
    store: Callable[[int, NDArray[Any]], None],
    watch: Observer,
) -> Seen:
    """Read and decode files, each once.

    Args:
        folder: that the files lie in.
        files: paths in it.
        decoder: for their look.
        store: called from several threads, one at a time, with the position in `files` of the
            first image, and images for it and those that follow.
        watch: is told how far it is.
    Returns:
        Digests, and every file that is no image.
    """
    seen, lock, turns = Seen(), threading.Lock(), Turns()

    def span(positions: range) -> int:
        start, names = positions.start, files[positions.start : positions.stop]
        for found in _read_span(folder, names, decoder.max_pixels, turns):
            keep(start, found)
            start += len(found)
        return len(positions)

    def keep(start: int, found: list[Read | str]) -> None:
        named = list(zip(files[start : start + len(found)], found, strict=True))
        good = {file: one for file, one in named if isinstance(one, Read)}
        bad = {file: one for file, one in named if isinstance(one, str)}
        images, broken = decoder.decode([*good.values()]) if good else (None, {})
        names = [*good]
        bad |= {names[row]: why for row, why in broken.items()}
        digests = {file: (one.digest, one.stamp) for file, one in good.items()}
        largest = max((one.pixels for one in good.values()), default=0)
        with lock:
            seen.bad |= bad
            seen.digests |= digests
            seen.largest = max(seen.largest, largest)
            # One bad file is enough: no image will be used, but all bad files are named.
            if images is not None and not seen.bad:
                store(start, images)

    done = 0
    for count in decoder.spread(span, len(files), watch.check):
        done += count
        watch.tell(done, len(files))
    return seen


def _read_span(
    folder: Path, files: Sequence[str], max_pixels: int, turns: Turns
) -> Iterator[list[Read | str]]:
    """What was read of each file, or why it is no image; some at a time, where they are large."""
    done = 0
    while done < len(files):
        with turns.take() as one_more:
            found = _read_some(folder, files[done:], max_pixels, one_more)
        done += len(found)
        yield found


def _read_some(
    folder: Path, files: Sequence[str], max_pixels: int, one_more: Callable[[], None]
) -> list[Read | str]:
    found: list[Read | str] = []
    base, size = f"{folder}/", 0
    for file in files:
        try:
            one = read(base + file, max_pixels)
            size += len(one.content)
            found.append(one)
        except NoImage as finding:
            found.append(str(finding))
        except OSError as error:
            found.append(f"cannot be read: {error.strerror}")
        one_more()
        if size > _SPAN_BYTES:
            break
    return found


def _decoded(content: tf.Tensor, look: ReaderArguments) -> tf.Tensor:
    return tf.image.decode_image(
        content, channels=CHANNELS[look.color_mode], expand_animations=False
    )


def _resized(content: tf.Tensor, look: ReaderArguments) -> tf.Tensor:
    """One image as `keras/src/utils/image_dataset_utils.py` (`_load_image_tf`) makes it."""
    image = _decoded(content, look)
    if look.crop_to_aspect_ratio:
        from keras.src.backend import tensorflow as backend

        image = keras.preprocessing.image.smart_resize(
            image,
            look.image_size,
            interpolation=look.interpolation,
            data_format="channels_last",
            backend_module=backend,
        )
    else:
        image = tf.image.resize(image, look.image_size, method=look.interpolation)
    return tf.ensure_shape(tf.cast(image, tf.float32), look.shape)
