"""TensorFlow: each step of a model as one compiled loop over the batches of a block.

It does what `keras/src/backend/tensorflow/trainer.py` does in `fit`, `evaluate` and `predict` with
`steps_per_execution`, but on images that are already on the device, and in Fornada's order.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from fornada.worker.trainer.engine.interface import Block
from fornada.worker.trainer.engine.philox import philox


class TensorFlowProgram:
    """See `Program`.

    A step is traced when it is first called, for any number of images.

    Args:
        model: built and compiled, with all of its variables.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @property
    def bytes(self) -> int:
        """See `Program.bytes`."""
        return sum(v.dtype.size * v.shape.num_elements() for v in _variables(self.model))

    def adopt(self, model: keras.Model) -> None:
        """See `Program.adopt`. The model gets this program's variables, with the model's values."""
        for mine, its in zip(_variables(self.model), _keras_variables(model), strict=True):
            mine.assign(its._value)
            its._value = mine

    def put(self, array: NDArray[Any]) -> Any:
        """See `Program.put`."""
        return tf.constant(array)

    def train(self, block: Block, *, jit: bool) -> None:
        """See `Program.train`."""
        (self._train_jit if jit else self._train)(*_arguments(block))

    def test(self, block: Block) -> None:
        """See `Program.test`."""
        self._test(*_arguments(block))

    def predict(self, block: Block) -> NDArray[Any]:
        """See `Program.predict`."""
        outputs: NDArray[Any] = self._predict(*_arguments(block)).numpy()
        return outputs

    @cached_property
    def _train(self) -> Callable[..., None]:
        return self._over_batches(self.model.train_step)

    @cached_property
    def _train_jit(self) -> Callable[..., None]:
        return self._over_batches(self.model.train_step, jit=True)

    @cached_property
    def _test(self) -> Callable[..., None]:
        return self._over_batches(self.model.test_step)

    @cached_property
    def _predict(self) -> Callable[..., Any]:
        def predict(columns: Any, order: Any, first: Any, batches: Any) -> Any:
            def body(row: Any, found: Any) -> tuple[Any, Any]:
                output = self.model.predict_step(_batch(columns, order, row))
                return row + 1, found.write(row - first, tf.cast(output, tf.float32))

            found = tf.TensorArray(
                tf.float32, batches, infer_shape=False, element_shape=self.model.output_shape
            )
            end = first + batches
            _, found = tf.while_loop(lambda row, _: row < end, body, [first, found])
            return found.concat()

        return self._compiled(predict)

    def _over_batches(
        self, step: Callable[[Any], Any], *, jit: bool = False
    ) -> Callable[..., None]:
        def run(columns: Any, order: Any, first: Any, batches: Any) -> None:
            def body(row: Any) -> tuple[Any]:
                with philox() if jit else nullcontext():
                    step(_batch(columns, order, row))
                return (row + 1,)

            end = first + batches
            # One at a time: each step needs the weights of the step before.
            tf.while_loop(lambda row: row < end, body, [first], parallel_iterations=1)

        return self._compiled(run, jit=jit)

    def _compiled(self, run: Callable[..., Any], *, jit: bool = False) -> Callable[..., Any]:
        """A function that traces `run` once for each combination of shapes and types."""
        traced: dict[Any, Callable[..., Any]] = {}

        def call(columns: Any, order: Any, first: Any, batches: Any) -> Any:
            kinds = tuple(tf.TensorSpec([None, *c.shape[1:]], c.dtype) for c in columns)
            if kinds not in traced:
                order_kind = tf.TensorSpec([None, None], order.dtype)
                number = tf.TensorSpec([], first.dtype)
                traced[kinds] = tf.function(
                    run, [kinds, order_kind, number, number], autograph=False, jit_compile=jit
                )
            return traced[kinds](columns, order, first, batches)

        return call


def _keras_variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables, *model.metrics_variables]


def _variables(model: keras.Model) -> list[tf.Variable]:
    return [variable._value for variable in _keras_variables(model)]


def _arguments(block: Block) -> tuple[Any, ...]:
    return block.columns, block.order, tf.constant(block.first), tf.constant(block.batches)


def _batch(columns: tuple[Any, ...], order: Any, row: Any) -> tuple[Any, ...]:
    chosen = tf.gather(order, row)
    pixels, *others = (tf.gather(column, chosen) for column in columns)
    # Models get float32, as from Keras's reader.
    return (tf.cast(pixels, tf.float32), *others)
