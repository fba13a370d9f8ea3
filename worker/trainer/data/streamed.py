"""The images of a set that is decoded again in each epoch, from its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fornada.db.states import FailureCode
from fornada.spec.wording import printable
from fornada.worker.trainer.data.decode import Decoder
from fornada.worker.trainer.data.headers import NoImage
from fornada.worker.trainer.data.image_files import ImageFile, read
from fornada.worker.trainer.failures import TrainingFailed


class Files:
    """Image files as `fornada.worker.trainer.data.pixels.Pixels`.

    Args:
        folder: folder of the files.
        digests: digest of each file by its path in the folder. All have been decoded before.
        decoder: decodes them to the wanted size and colours.
        rounded: whether pixels are rounded to uint8; otherwise they are float32.
    """

    def __init__(
        self,
        folder: Path,
        digests: dict[str, str],
        decoder: Decoder,
        *,
        rounded: bool,
    ) -> None:
        self.shape = (len(digests), *decoder.look.shape)
        self.dtype = np.dtype(np.uint8 if rounded else np.float32)
        self._folder = folder
        self._files = list(digests)
        self._digests = digests
        self._decoder = decoder

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        """Decode the images at these positions, on all cores.

        Raises:
            TrainingFailed: DATA_INVALID for a file that has changed.
        """
        images = np.empty((len(positions), *self.shape[1:]), self.dtype)
        files = [self._files[position] for position in positions]

        def work(span: range) -> int:
            part = slice(span.start, span.stop)
            images[part] = as_dtype(self._decoded(files[part]), self.dtype)
            return len(span)

        for _ in self._decoder.spread(work, len(files), lambda: None):
            pass
        return images

    def _decoded(self, files: Sequence[str]) -> NDArray[Any]:
        images, bad = self._decoder.decode([self._read(file) for file in files])
        for place, why in bad.items():
            raise _changed(self._folder, files[place], why)
        return images

    def _read(self, file: str) -> ImageFile:
        try:
            found = read(f"{self._folder}/{file}", self._decoder.max_pixels)
        except NoImage as finding:
            raise _changed(self._folder, file, str(finding)) from finding
        except OSError as error:
            raise _changed(self._folder, file, str(error.strerror)) from error
        if found.digest != self._digests[file]:
            raise _changed(self._folder, file, "it holds other bytes")
        return found


def as_dtype(images: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Convert pixels to float32, or round them to uint8."""
    if dtype == np.uint8 and images.dtype != np.uint8:
        # Some ways of resizing give values outside 0-255.
        images = np.rint(images).clip(0, 255)
    return images.astype(dtype, copy=False)


def _changed(folder: Path, file: str, why: str) -> TrainingFailed:
    return TrainingFailed(
        FailureCode.DATA_INVALID,
        f"{printable(f'{folder.name}/{file}')} has changed while the job ran: {why}. "
        "Leave the images of a job alone until it ends, or let it pack them (data.pack).",
    )
