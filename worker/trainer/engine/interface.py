"""The interface between the training loop and a backend."""

from dataclasses import dataclass
from typing import Any, Protocol

import keras
from numpy.typing import NDArray

# Loss and metrics under the names that `fit` gives them, without `val_`.
Logs = dict[str, float]


@dataclass(frozen=True)
class Block:
    """Batches that are computed in one call.

    Attributes:
        columns: pixels, targets, and perhaps weights, on the device, each of shape (count, …).
        order: positions in the columns, on the device: integers, shape (batches, images in a
            batch). Each row is a batch.
        first: index of the first row of `order` that belongs to this block.
        batches: number of rows that belong to this block.
    """

    columns: tuple[Any, ...]
    order: Any
    first: int
    batches: int


class Program(Protocol):
    """The compiled steps of a model: Keras's train, test and predict steps, each over a block.

    Each step is compiled when it is first called, for any number of batches. Between two calls
    all values are in the variables of the model.

    Attributes:
        model: the model whose steps are compiled, with all of its variables.
    """

    model: keras.Model

    @property
    def bytes(self) -> int:
        """Bytes that the variables take."""
        ...

    def adopt(self, model: keras.Model) -> None:
        """Run another model of the same structure from now on, with that model's values.

        The other model can be saved and read as usual. The values of the earlier model are lost.
        """
        ...

    def put(self, array: NDArray[Any]) -> Any:
        """Put an array where the device reads it."""
        ...

    def train(self, block: Block, *, jit: bool) -> None:
        """Train on each batch.

        Args:
            block: the batches.
            jit: whether XLA compiles the step, where the backend has a choice.
        """
        ...

    def test(self, block: Block) -> None:
        """Update the metrics with each batch."""
        ...

    def predict(self, block: Block) -> NDArray[Any]:
        """Outputs for the images in their order, float32, shape (images, …)."""
        ...
