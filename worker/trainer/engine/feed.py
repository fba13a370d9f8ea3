"""Gives a program its blocks of batches, from a set on the device or from chunks copied there."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fornada.worker.trainer.data.sets import Images
from fornada.worker.trainer.engine.interface import Block
from fornada.worker.trainer.engine.pace import Pace
from fornada.worker.trainer.process.memory import share

# Most bytes of a set that is copied to the device as a whole, once. When the device is the CPU, the
# copy is in the trainer's memory beside the original, so the limit is low.
_RESIDENT_BYTES = 2**30
# Bytes of a chunk. A larger set is copied to the device in chunks. While one chunk is used, the
# next one is copied, so two are in memory.
_CHUNK_BYTES = 2**26

# Puts an array where the device reads it.
Put = Callable[[NDArray[Any]], Any]


class Feed:
    """Gives one set to a program in blocks, in any order.

    Args:
        images: the set. Its pixels need not be in memory.
        put: puts an array on the backend's device.
    """

    def __init__(self, images: Images, put: Put) -> None:
        self._put = put
        self._columns: list[Any] = [images.pixels, images.targets]
        if images.weights is not None:
            self._columns.append(images.weights)
        self._resident: tuple[Any, ...] | None = None
        if isinstance(images.pixels, np.ndarray) and images.pixels.nbytes <= share(_RESIDENT_BYTES):
            self._resident = tuple(put(column) for column in self._columns)

    def blocks(
        self, order: NDArray[np.int64], batch_size: int, pace: Pace, *, first_batch: int = 0
    ) -> Iterator[Block]:
        """Blocks of full batches, then a block of the smaller last batch, if there is one.

        The arrays have the same shapes for every `first_batch`, because a backend may compile a
        program for each shape.

        Args:
            order: positions in the set, shape (count,).
            batch_size: images in a batch.
            pace: gives the number of batches of each block.
            first_batch: number of batches to skip.
        """
        batches, left = divmod(len(order), batch_size)
        whole = batches * batch_size
        if first_batch < batches:
            yield from self._blocks(order[:whole].reshape(-1, batch_size), first_batch, pace)
        if left and first_batch <= batches:
            yield from self._blocks(order[None, whole:], 0, pace)

    def _blocks(self, order: NDArray[np.int64], first: int, pace: Pace) -> Iterator[Block]:
        if self._resident is not None:
            yield from _paced(self._resident, self._put(order), first, len(order), pace)
            return
        batch_bytes = _bytes_each(self._columns[0]) * order.shape[1]
        rows = min(max(1, _CHUNK_BYTES // batch_bytes), len(order))
        # The images of a chunk are copied in the order in which they are used.
        in_turn = self._put(np.arange(rows * order.shape[1]).reshape(rows, -1))
        chunks = [order[begin : begin + rows] for begin in range(first, len(order), rows)]
        # One thread gathers the next chunk. If the epoch ends early, it finishes that chunk.
        with ThreadPoolExecutor(1, thread_name_prefix="gather") as ahead:
            coming = ahead.submit(self._gather, chunks[0], rows)
            for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
                columns = coming.result()
                if following is not None:
                    coming = ahead.submit(self._gather, following, rows)
                yield from _paced(columns, in_turn, 0, len(chunk), pace)

    def _gather(self, chunk: NDArray[np.int64], rows: int) -> tuple[Any, ...]:
        """Copy the images of a chunk to the device, in the chunk's order."""
        # A short last chunk is filled up, because a program is compiled for one shape.
        filled = np.resize(chunk, (rows, chunk.shape[1])).reshape(-1)
        return tuple(self._put(column[filled]) for column in self._columns)


def _paced(columns: Sequence[Any], order: Any, first: int, end: int, pace: Pace) -> Iterator[Block]:
    while first < end:
        block = Block(tuple(columns), order, first, min(pace.batches, end - first))
        yield block
        first += block.batches


def _bytes_each(pixels: Any) -> int:
    return int(math.prod(pixels.shape[1:]) * pixels.dtype.itemsize)
