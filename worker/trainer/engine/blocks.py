"""The engine: epochs, evaluations and predictions of one model, block by block."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fornada.worker.trainer.data.sets import Images
from fornada.worker.trainer.engine.feed import Feed
from fornada.worker.trainer.engine.interface import Block, Logs
from fornada.worker.trainer.engine.pace import BLOCK_S, Pace
from fornada.worker.trainer.engine.programs import PROGRAMS


class Engine:
    """Runs a compiled model over images, batch by batch, in an order that it is given.

    A block of batches is one call of the backend that Keras was imported with. Keras's callbacks
    hear of a block as of its first and last batch, as under `steps_per_execution`.

    Args:
        model: built and compiled.
        batch_size: images in a batch; the last one of a set may be smaller.
        example: one batch, as `Images.example` gives it: it says which shapes variables have.
        block_s: how many seconds of work one call computes, at most about; 0 for one batch.

    Attributes:
        jit: whether XLA compiles the training steps, where the backend has a choice; set before
            the first of them.

    Raises:
        TrainingFailed: there is no engine for the backend.
    """

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        example: tuple[NDArray[Any], ...],
        *,
        block_s: float = BLOCK_S,
    ) -> None:
        # Every variable has to be there before a loop is traced; what `fit` does too.
        model._symbolic_build(data_batch=example)
        self._model = model
        self._batch_size = batch_size
        self._program = PROGRAMS.take(model)
        self.jit = False
        self._training, self._testing = Pace(block_s), Pace(block_s)
        self._held: dict[Images, Feed] = {}

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
        model, done, logs = self._model, first_batch, {}
        train = partial(self._program.train, jit=self.jit)
        if first_batch == 0:
            model.reset_metrics()
        blocks = self._feed(images).blocks(
            order, self._batch_size, self._training, first_batch=first_batch
        )
        for block in blocks:
            between(done)
            callbacks.on_train_batch_begin(done)
            logs = self._run(train, block, self._training)
            done += block.batches
            callbacks.on_train_batch_end(done - 1, logs)
            if model.stop_training:
                break
        return logs

    def evaluate(
        self,
        images: Images,
        callbacks: keras.callbacks.CallbackList,
        check: Callable[[], None],
    ) -> Logs:
        """Loss and metrics on a set, in its fixed order."""
        done, logs = 0, {}
        callbacks.on_test_begin()
        self._model.reset_metrics()
        in_turn = np.arange(len(images))
        for block in self._feed(images).blocks(in_turn, self._batch_size, self._testing):
            check()
            callbacks.on_test_batch_begin(done)
            logs = self._run(self._program.test, block, self._testing)
            done += block.batches
            callbacks.on_test_batch_end(done - 1, logs)
        callbacks.on_test_end(logs)
        return logs

    def predict(self, images: Images, check: Callable[[], None]) -> NDArray[np.float32]:
        """The model's outputs on a set, shape (count, outputs)."""
        outputs = []
        in_turn = np.arange(len(images))
        for block in self._feed(images).blocks(in_turn, self._batch_size, self._testing):
            check()
            outputs.append(self._program.predict(block))
        return np.concatenate(outputs)

    def release(self) -> None:
        """Leave what was compiled to a later model of the same structure.

        The model must not be used any more: its variables become the other's.
        """
        PROGRAMS.give_back(self._program)

    def _feed(self, images: Images) -> Feed:
        # The same sets come every epoch.
        if images not in self._held:
            self._held[images] = Feed(images, self._program.put)
        return self._held[images]

    def _run(self, call: Callable[[Block], None], block: Block, pace: Pace) -> Logs:
        """Compute a block; loss and metrics of the epoch so far."""
        begin = time.monotonic()
        call(block)
        # Waits for the device, too.
        logs = {name: float(value) for name, value in self._model.get_metrics_result().items()}
        pace.took(block.batches, time.monotonic() - begin)
        return logs
