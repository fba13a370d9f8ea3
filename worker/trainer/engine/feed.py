"""Feeds blocks of batches: of a set that lies on the device, or gathered while one is computed."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.trainer.data.sets import Images
from worker.trainer.engine.pace import Pace
from worker.trainer.failures import memory_limit

# A set of no more bytes goes to the device as a whole, once. Not too large a share of the memory
# that a trainer has, of which the set as it was read is one part already.
_RESIDENT_BYTES = 2**30
_RESIDENT_SHARE = 1 / 8
# Of a larger set so many bytes at a time; and as many more, which are gathered meanwhile.
_CHUNK_BYTES = 2**26

# Puts an array where the device reads it.
Put = Callable[[NDArray[Any]], Any]


@dataclass(frozen=True)
class Block:
    """Batches that are computed in one call.

    Attributes:
        columns: pixels, targets, and weights where there are some: on the device, each of shape
            (count, …).
        order: positions in them, on the device, int64 of shape (batches, images in a batch).
        first: which row of `order` is the first of this block.
        batches: how many rows are of this block.
    """

    columns: tuple[Any, ...]
    order: Any
    first: int
    batches: int


class Feed:
    """One set, in blocks of any order.

    Args:
        images: the set. Its pixels need not lie in memory.
        put: of the backend.
    """

    def __init__(self, images: Images, put: Put) -> None:
        self._put = put
        self._columns: list[Any] = [images.pixels, images.targets]
        if images.weights is not None:
            self._columns.append(images.weights)
        self._resident: tuple[Any, ...] | None = None
        if isinstance(images.pixels, np.ndarray) and images.pixels.nbytes <= _most_resident():
            self._resident = tuple(put(column) for column in self._columns)

    def blocks(self, order: NDArray[np.int64], batch_size: int, pace: Pace) -> Iterator[Block]:
        """Blocks of whole batches; last, one of the batch that is left.

        Args:
            order: positions, shape (count,).
            batch_size: images in a batch.
            pace: asked before each block how long it may be.
        """
        whole = len(order) // batch_size * batch_size
        if whole:
            yield from self._blocks(order[:whole].reshape(-1, batch_size), pace)
        if whole < len(order):
            yield from self._blocks(order[None, whole:], pace)

    def _blocks(self, order: NDArray[np.int64], pace: Pace) -> Iterator[Block]:
        if self._resident is not None:
            yield from _paced(self._resident, self._put(order), len(order), pace)
            return
        batch_bytes = _bytes_each(self._columns[0]) * order.shape[1]
        rows = min(max(1, _CHUNK_BYTES // batch_bytes), len(order))
        in_turn = self._put(np.arange(rows * order.shape[1]).reshape(rows, -1))
        chunks = [order[first : first + rows] for first in range(0, len(order), rows)]
        # One thread reads ahead; it ends with its chunk where the epoch is left.
        with ThreadPoolExecutor(1, thread_name_prefix="gather") as ahead:
            coming = ahead.submit(self._gather, chunks[0], rows)
            for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
                columns = coming.result()
                if following is not None:
                    coming = ahead.submit(self._gather, following, rows)
                yield from _paced(columns, in_turn, len(chunk), pace)

    def _gather(self, chunk: NDArray[np.int64], rows: int) -> tuple[Any, ...]:
        """The rows of a chunk, one after the other."""
        # As many as in every chunk: a program is compiled for one shape.
        filled = np.resize(chunk, (rows, chunk.shape[1])).reshape(-1)
        return tuple(self._put(column[filled]) for column in self._columns)


def _paced(columns: Sequence[Any], order: Any, batches: int, pace: Pace) -> Iterator[Block]:
    first = 0
    while first < batches:
        block = Block(tuple(columns), order, first, min(pace.batches, batches - first))
        yield block
        first += block.batches


def _bytes_each(pixels: Any) -> int:
    return int(math.prod(pixels.shape[1:]) * pixels.dtype.itemsize)


def _most_resident() -> int:
    limit = memory_limit()
    return _RESIDENT_BYTES if limit is None else min(_RESIDENT_BYTES, int(limit * _RESIDENT_SHARE))
