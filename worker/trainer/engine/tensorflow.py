"""TensorFlow: Keras's compiled functions over our own iterator of batches.

What `keras/src/backend/tensorflow/trainer.py` does in `fit` and `evaluate`, without its own
order of data.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.trainer.data.sets import Images
from worker.trainer.engine.interface import Logs

# Batches prepared while one is being computed.
_PREFETCH = 2


class TensorFlowEngine:
    """Trains and evaluates one compiled Keras model.

    Args:
        model: built and compiled.
        batch_size: images in a batch; the last one of a set may be smaller.
    """

    def __init__(self, model: keras.Model, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._held: dict[Images, _Batches] = {}

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
        model, batches = self._model, self._batches(images)
        model.make_train_function()
        if first_batch == 0:
            model.reset_metrics()
        logs: Logs = {}
        iterator = batches.iterate(order[first_batch * self._batch_size :])
        for step in range(first_batch, batches.steps):
            between(step)
            callbacks.on_train_batch_begin(step)
            logs = model.train_function(iterator)
            callbacks.on_train_batch_end(step, logs)
            if model.stop_training:
                break
        return self._result(logs)

    def evaluate(
        self,
        images: Images,
        callbacks: keras.callbacks.CallbackList,
        check: Callable[[], None],
    ) -> Logs:
        """See `Engine.evaluate`."""
        model, batches = self._model, self._batches(images)
        model.make_test_function()
        callbacks.on_test_begin()
        model.reset_metrics()
        logs: Logs = {}
        iterator = batches.iterate(np.arange(len(images)))
        for step in range(batches.steps):
            check()
            callbacks.on_test_batch_begin(step)
            logs = model.test_function(iterator)
            callbacks.on_test_batch_end(step, logs)
        result = self._result(logs)
        callbacks.on_test_end(result)
        return result

    def predict(self, images: Images, check: Callable[[], None]) -> NDArray[np.float32]:
        """See `Engine.predict`."""
        outputs = []
        for pixels, *_ in self._batches(images).iterate(np.arange(len(images))):
            check()
            outputs.append(self._model.predict_on_batch(pixels))
        return np.concatenate(outputs)

    def _batches(self, images: Images) -> "_Batches":
        # The same sets come every epoch; the pipeline of each is traced once.
        if images not in self._held:
            self._held[images] = _Batches(images, self._batch_size)
        return self._held[images]

    def _result(self, logs: Logs) -> dict[str, float]:
        """Loss and metrics over the whole epoch, in the order in which `fit` has them."""
        results = self._model.get_metrics_result()
        chosen = results if set(results) == set(logs) else logs
        return {name: float(value) for name, value in chosen.items()}


class _Batches:
    """Batches of one set as TensorFlow's iterator, in any order asked for.

    Args:
        images: gathered batch by batch, so that it may lie in a memory map.
        batch_size: images in a batch.
    """

    def __init__(self, images: Images, batch_size: int) -> None:
        self.steps = -(-len(images) // batch_size)
        self._columns = [images.pixels, images.targets]
        if images.weights is not None:
            self._columns.append(images.weights)
        self._batch_size = batch_size
        self._order = np.arange(len(images))
        starts = tf.data.Dataset.range(0, len(images), batch_size)
        self._dataset = starts.map(self._batch).prefetch(_PREFETCH)

    def iterate(self, order: NDArray[np.int64]) -> Any:
        """A new iterator. The one before it must not be used any more."""
        self._order = order
        return iter(self._dataset)

    def _batch(self, start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        dtypes = [tf.as_dtype(column.dtype) for column in self._columns]
        tensors = tf.numpy_function(self._gather, [start], dtypes)
        for tensor, column in zip(tensors, self._columns, strict=True):
            tensor.set_shape((None, *column.shape[1:]))
        # Keras's reader gives float32 whatever the files hold.
        return (tf.cast(tensors[0], tf.float32), *tensors[1:])

    def _gather(self, start: np.int64) -> list[NDArray[Any]]:
        chosen = self._order[start : start + self._batch_size]
        return [column[chosen] for column in self._columns]
