"""TensorFlow: blocks of many batches, each a compiled call around Keras's own steps.

What `keras/src/backend/tensorflow/trainer.py` does in `fit`, `evaluate` and `predict` with
`steps_per_execution`, but on images that lie on the device already, in our own order.
"""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.trainer.data.sets import Images
from worker.trainer.engine.feed import Block, Feed
from worker.trainer.engine.interface import Logs
from worker.trainer.engine.pace import Pace
from worker.trainer.engine.programs import PROGRAMS


class TensorFlowEngine:
    """Trains and evaluates one compiled Keras model.

    Args:
        model: built and compiled.
        batch_size: images in a batch; the last one of a set may be smaller.
        example: a batch as `Images.example` gives it.
        block_s: seconds that a block is to take.
    """

    def __init__(
        self,
        model: keras.Model,
        batch_size: int,
        example: tuple[NDArray[Any], ...],
        block_s: float,
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
        """See `Engine.train_epoch`."""
        model, done, logs = self._model, first_batch, {}
        train = self._program.train_jit if self.jit else self._program.train
        if first_batch == 0:
            model.reset_metrics()
        left = order[first_batch * self._batch_size :]
        for block in self._feed(images).blocks(left, self._batch_size, self._training):
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
        """See `Engine.evaluate`."""
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
        """See `Engine.predict`."""
        outputs = []
        in_turn = np.arange(len(images))
        for block in self._feed(images).blocks(in_turn, self._batch_size, self._testing):
            check()
            found = self._program.predict(*_arguments(block))
            outputs.append(found.numpy())
        return np.concatenate(outputs)

    def release(self) -> None:
        """See `Engine.release`."""
        PROGRAMS.give_back(self._program)

    def _feed(self, images: Images) -> Feed:
        # The same sets come every epoch.
        if images not in self._held:
            self._held[images] = Feed(images, tf.constant)
        return self._held[images]

    def _run(self, call: Callable[..., None], block: Block, pace: Pace) -> Logs:
        """Compute a block; loss and metrics of the epoch so far."""
        begin = time.monotonic()
        call(*_arguments(block))
        # Waits for the device, too.
        logs = {name: float(value) for name, value in self._model.get_metrics_result().items()}
        pace.took(block.batches, time.monotonic() - begin)
        return logs


def _arguments(block: Block) -> tuple[Any, ...]:
    return block.columns, block.order, tf.constant(block.first), tf.constant(block.batches)
