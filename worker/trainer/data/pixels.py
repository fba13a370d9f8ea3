"""The interface through which an engine reads the pixels of a set."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Pixels(Protocol):
    """The images of a set: an array, a mapped file, or files that are decoded on each access.

    Several threads may read it at once.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Count, height, width, channels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or float32; values lie in 0-255 in both."""
        ...

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def __getitem__(self, positions: NDArray[np.int64], /) -> NDArray[Any]:
        """The images at these positions, in this order: shape (positions, ...), of `dtype`."""
        ...


class Rows:
    """Some images of another set of pixels, in another order.

    Args:
        pixels: all images.
        positions: positions of the wanted images, shape (count,).
    """

    def __init__(self, pixels: Pixels, positions: NDArray[np.int64]) -> None:
        self._pixels = pixels
        self._positions = positions
        self.shape = (len(positions), *pixels.shape[1:])
        self.dtype = pixels.dtype

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        return self._pixels[self._positions[positions]]
