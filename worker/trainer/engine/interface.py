"""The interface between the training loop and a backend."""

from collections.abc import Callable
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from worker.trainer.data.sets import Images

# Names as `fit` gives them, without `val_`.
Logs = dict[str, float]


class Engine(Protocol):
    """Runs a compiled model over images, batch by batch, in an order that it is given.

    A block of batches is one call of the backend. Keras's callbacks hear of a block as of its
    first and last batch, as under `steps_per_execution`.

    Attributes:
        jit: whether XLA compiles the training steps; set before the first of them.
    """

    jit: bool

    def train_epoch(
        self,
        images: Images,
        order: NDArray[np.int64],
        callbacks: keras.callbacks.CallbackList,
        between: Callable[[int], None],
        *,
        first_batch: int = 0,
    ) -> Logs:
        """Train on every image once, or on those that are left of an epoch.

        Args:
            images: the training set.
            order: positions in it, shape (count,), of the whole epoch.
            callbacks: told of every block; they may set `model.stop_training`.
            between: called before every block, when the model's variables are all at rest, with
                how many batches of the epoch are done; what it raises ends the epoch.
            first_batch: batches that are done; the metrics' variables then hold them already.
        Returns:
            Loss and metrics of the epoch.
        """
        ...

    def evaluate(
        self,
        images: Images,
        callbacks: keras.callbacks.CallbackList,
        check: Callable[[], None],
    ) -> Logs:
        """Loss and metrics on a set, in its fixed order."""
        ...

    def predict(self, images: Images, check: Callable[[], None]) -> NDArray[np.float32]:
        """The model's outputs on a set, shape (count, outputs)."""
        ...

    def release(self) -> None:
        """Leave what was compiled to a later model of the same structure.

        The model must not be used any more: its variables become the other's.
        """
        ...
