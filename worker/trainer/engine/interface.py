"""The interface between the training loop and a backend."""

from dataclasses import dataclass
from typing import Any, Protocol

import keras
from numpy.typing import NDArray

# Names as `fit` gives them, without `val_`.
Logs = dict[str, float]


@dataclass(frozen=True)
class Block:
    """Batches that are computed in one call.

    Attributes:
        columns: pixels, targets, and weights where there are some: on the device, each of shape
            (count, …).
        order: positions in them, on the device, integers of shape (batches, images in a batch).
        first: which row of `order` is the first of this block.
        batches: how many rows are of this block.
    """

    columns: tuple[Any, ...]
    order: Any
    first: int
    batches: int


class Program(Protocol):
    """The compiled side of a model: Keras's own three steps, each as a call over a block.

    Each is compiled when it is first called. How many batches a block has is no part of what is
    compiled. Between two calls all numbers are in the variables of the model.

    Attributes:
        model: the one that is compiled, with all of its variables.
    """

    model: keras.Model

    @property
    def bytes(self) -> int:
        """What its variables take."""
        ...

    def adopt(self, model: keras.Model) -> None:
        """Train a model of the same structure from now on.

        It is saved and read as ever, and whatever ran here before is forgotten.
        """
        ...

    def put(self, array: NDArray[Any]) -> Any:
        """Put an array where the device reads it."""
        ...

    def train(self, block: Block, *, jit: bool) -> None:
        """Train on each batch.

        Args:
            block: what is trained on.
            jit: whether XLA compiles it, where the backend has a choice.
        """
        ...

    def test(self, block: Block) -> None:
        """Have the metrics see each batch."""
        ...

    def predict(self, block: Block) -> NDArray[Any]:
        """Outputs, float32 of shape (images, …), in the order of the images."""
        ...
