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
    """Runs a compiled model over images, batch by batch, in a given order.

    One call of the backend computes a block of several batches. Keras's callbacks are called for
    the first and the last batch of each block, as with `steps_per_execution`.

    Args:
        model: built and compiled.
        batch_size: images in a batch; the last batch of a set may be smaller.
        example: one batch from `Images.example`, which gives the variables their shapes.
        block_s: about how many seconds one call may take; 0 for one batch a call.

    Attributes:
        jit: whether XLA compiles the training steps, where the backend has a choice. Set it
            before the first training step.

    Raises:
        TrainingFailed: the backend is not supported.
    """

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        example: tuple[NDArray[Any], ...],
        *,
        block_s: float = BLOCK_S,
    ) -> None:
        # All variables must exist before a loop is traced. `fit` does the same.
        model._symbolic_build(data_batch=example)
        self._model = model
        self._batch_size = batch_size
        self._program = PROGRAMS.take(model)
        self.jit = False
        self._training, self._testing = Pace(block_s), Pace(block_s)
        self._feeds: dict[Images, Feed] = {}

    def train_epoch(
        self,
        images: Images,
        order: NDArray[np.int64],
        callbacks: keras.callbacks.CallbackList,
        between: Callable[[int], None],
        *,
        first_batch: int = 0,
    ) -> Logs:
        """Train on every image once, or on the rest of an epoch.

        Args:
            images: the training set.
            order: positions in the set for the whole epoch, shape (count,).
            callbacks: called for every block; they may set `model.stop_training`.
            between: called before every block, while no step changes the model, with the number
                of batches that are done. An exception from it ends the epoch.
            first_batch: number of batches that are done; the metrics already include them.
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
        """Let a later model of the same structure use the compiled program.

        This engine's model must not be used afterwards, because its variables are reused.
        """
        PROGRAMS.give_back(self._program)

    def _feed(self, images: Images) -> Feed:
        # Every epoch uses the same sets, so each is prepared once.
        if images not in self._feeds:
            self._feeds[images] = Feed(images, self._program.put)
        return self._feeds[images]

    def _run(self, call: Callable[[Block], None], block: Block, pace: Pace) -> Logs:
        """Compute a block.

        Returns:
            Loss and metrics of the epoch so far.
        """
        begin = time.monotonic()
        call(block)
        # `float` waits for the device, so the time below includes its work.
        logs = {name: float(value) for name, value in self._model.get_metrics_result().items()}
        pace.took(block.batches, time.monotonic() - begin)
        return logs
