"""Decodes images with TensorFlow's decoder, as Keras's reader does, on all cores.

A call of TensorFlow takes longer than decoding a small image. So one call decodes many images: its
graph holds operations for each image, which TensorFlow runs in parallel.
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
from fornada.worker.trainer.data.image_files import ImageFile, read
from fornada.worker.trainer.data.reasons import why
from fornada.worker.trainer.data.threads import Turns, in_threads, spans
from fornada.worker.trainer.process.memory import ceiling

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}

# Most files that a thread reads and decodes at a time; a power of two.
_SPAN = 128
# Large images come in shorter spans, so that the files and the images of a span do not take many
# more bytes than this in each thread.
_SPAN_BYTES = 32 * 1024**2
# Images in one call of TensorFlow when they are resized. Building the graph then takes a
# millisecond for each image, and a tenth of that without resizing.
_RESIZED = 16
# Images with more pixels in total are decoded one by one, because a graph keeps all its decoded
# images in memory at once.
_PIXELS_TOGETHER = 2**22
# Ways of resizing that do not change an image that already has the right size.
_IDENTICAL = ("bilinear", "nearest")
# Copies of its images that a thread holds at once: TensorFlow's before and after resizing, the
# resulting array, and the uint8 copy that shows whether all values are whole.
_COPIES = 4
# Share of the memory that all decoding threads may use. There is no model in memory yet.
_DECODING = 1 / 2


@dataclass(frozen=True)
class ReaderArguments:
    """The arguments of Keras's reader that decide the pixels.

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
        """Bytes of one decoded image, as float32."""
        return 4 * math.prod(self.shape)


class Decoder:
    """Decodes images to one size and colour mode. Several threads may use it at once.

    Args:
        look: size and colours of the result.
        max_pixels: an image whose header claims more pixels is refused.
    """

    def __init__(self, look: ReaderArguments, max_pixels: int) -> None:
        self.look = look
        self.max_pixels = max_pixels
        self._lock = threading.Lock()
        self._graphs: dict[tuple[int, bool], Any] = {}
        self._as_they_are = look.interpolation in _IDENTICAL and not look.crop_to_aspect_ratio
        most = max(1, min(_SPAN, _SPAN_BYTES // look.decoded_bytes))
        # How many images a thread should decode at a time.
        self.span = 2 ** (most.bit_length() - 1)

    @property
    def threads(self) -> int:
        """How many threads may decode at once without taking too much memory."""
        each: int = _COPIES * self.span * self.look.decoded_bytes
        return max(1, int(ceiling() * _DECODING) // each)

    def spread(
        self, work: Callable[[range], int], count: int, check: Callable[[], None]
    ) -> Iterator[int]:
        """Run `work` on spans of `count` images in threads; its results, in order."""
        return in_threads(work, spans(count, self.span), check, most=self.threads)

    def decode(self, files: Sequence[ImageFile]) -> tuple[NDArray[Any], dict[int, str]]:
        """Decode files to exactly the images that Keras's reader gives.

        Returns:
            Array of shape (files, height, width, channels), uint8 or float32, whichever was
            faster; and the reason why a file cannot be decoded, by its position. The image of
            such a file is 0.
        """
        pixels = sum(file.pixels for file in files)
        for size, resized in ((self.span, False), (min(_RESIZED, self.span), True)):
            # The last call is filled up with copies. That is too slow if most would be copies.
            if pixels > _PIXELS_TOGETHER or 2 * len(files) < size:
                continue
            if resized or self._as_they_are:
                images = self._together(files, size, resized=resized)
                if images is not None:
                    return images, {}
                # Some have another size, or one is broken. Later files are probably alike, so do
                # not try again without resizing.
                self._as_they_are = False
        return self._alone(files)

    def _together(
        self, files: Sequence[ImageFile], size: int, *, resized: bool
    ) -> NDArray[Any] | None:
        """Decode `size` images a call; None if one cannot be decoded or has another size."""
        graph = self._graph(size, resized=resized)
        parts = []
        try:
            for start in range(0, len(files), size):
                contents = [file.content for file in files[start : start + size]]
                copies = [contents[0]] * (size - len(contents))
                # `numpy()` would make a copy.
                images = np.asarray(graph(tf.constant(contents + copies)))
                parts.append(images[: len(contents)])
        except (tf.errors.OpError, ValueError):
            return None
        images = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return images if images.shape[1:] == self.look.shape else None

    def _alone(self, files: Sequence[ImageFile]) -> tuple[NDArray[np.float32], dict[int, str]]:
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
            # Resizing on a GPU would give slightly different pixels.
            with tf.device("/CPU:0"):
                return tf.stack([one(content, self.look) for content in tf.unstack(contents)])

        made = tf.function(
            images, input_signature=[tf.TensorSpec([size], tf.string)], autograph=False
        )
        return made.get_concrete_function()


@dataclass
class Seen:
    """What is known about files after they were decoded.

    Attributes:
        digests: digest of each file that could be read, and its stamp before reading.
        bad: reason why a file is not an image, by its path.
        largest: number of pixels of the largest image.
    """

    digests: dict[str, tuple[str, Stamp]] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    largest: int = 0


@dataclass(frozen=True)
class Observer:
    """Functions that are called while many files are read.

    Attributes:
        check: called several times a second; an exception from it ends the reading.
        tell: called with the number of finished files and the number of all files.
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
        folder: folder of the files.
        files: paths in the folder.
        decoder: decodes them.
        store: called from several threads, one at a time, with consecutive images and the
            position in `files` of the first of them.
        watch: called while files are read.
    Returns:
        The digests, and every file that is not an image.
    """
    seen, lock, turns = Seen(), threading.Lock(), Turns()

    def span(positions: range) -> int:
        start, names = positions.start, files[positions.start : positions.stop]
        for found in _read_span(folder, names, decoder.max_pixels, turns):
            keep(start, found)
            start += len(found)
        return len(positions)

    def keep(start: int, found: list[ImageFile | str]) -> None:
        named = list(zip(files[start : start + len(found)], found, strict=True))
        good = {file: one for file, one in named if isinstance(one, ImageFile)}
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
            # After a bad file no image will be used. Reading goes on only to find all bad files.
            if images is not None and not seen.bad:
                store(start, images)

    done = 0
    for count in decoder.spread(span, len(files), watch.check):
        done += count
        watch.tell(done, len(files))
    return seen


def _read_span(
    folder: Path, files: Sequence[str], max_pixels: int, turns: Turns
) -> Iterator[list[ImageFile | str]]:
    """Read files, a few at a time if they are large; each as a `Read`, or why it is no image."""
    done = 0
    while done < len(files):
        with turns.take() as one_more:
            found = _read_some(folder, files[done:], max_pixels, one_more)
        done += len(found)
        yield found


def _read_some(
    folder: Path, files: Sequence[str], max_pixels: int, one_more: Callable[[], None]
) -> list[ImageFile | str]:
    found: list[ImageFile | str] = []
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
    """One image, as `_load_image_tf` in `keras/src/utils/image_dataset_utils.py` gives it."""
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
