"""The compiled side of a model: its three steps, each as a call over many batches."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf


class Program:
    """Compiled calls over a block of batches; each is traced when it is first asked for.

    All take `columns`, `order`, `first` and `batches`, as `Block` has them, and go through the
    rows of `order` from `first` on. How many there are, and how many images, is no part of what
    is compiled.

    Args:
        model: built and compiled, with all of its variables.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    @cached_property
    def train(self) -> Callable[..., None]:
        """Train on each batch."""
        return self._over_batches(self._model.train_step)

    @cached_property
    def test(self) -> Callable[..., None]:
        """Have the metrics see each batch."""
        return self._over_batches(self._model.test_step)

    @cached_property
    def predict(self) -> Callable[..., Any]:
        """Outputs, float32 of shape (images, …), in the order of the images."""

        def predict(columns: Any, order: Any, first: Any, batches: Any) -> Any:
            def body(row: Any, found: Any) -> tuple[Any, Any]:
                output = self._model.predict_step(_batch(columns, order, row))
                return row + 1, found.write(row - first, tf.cast(output, tf.float32))

            found = tf.TensorArray(
                tf.float32, batches, infer_shape=False, element_shape=self._model.output_shape
            )
            end = first + batches
            _, found = tf.while_loop(lambda row, _: row < end, body, [first, found])
            return found.concat()

        return self._compiled(predict)

    def _over_batches(self, step: Callable[[Any], Any]) -> Callable[..., None]:
        def run(columns: Any, order: Any, first: Any, batches: Any) -> None:
            def body(row: Any) -> tuple[Any]:
                step(_batch(columns, order, row))
                return (row + 1,)

            end = first + batches
            # Each step needs the last one's weights.
            tf.while_loop(lambda row: row < end, body, [first], parallel_iterations=1)

        return self._compiled(run)

    def _compiled(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The call; traced once for each kind of columns."""
        traced: dict[Any, Callable[..., Any]] = {}

        def call(columns: Any, order: Any, first: Any, batches: Any) -> Any:
            kinds = tuple(tf.TensorSpec([None, *c.shape[1:]], c.dtype) for c in columns)
            if kinds not in traced:
                order_kind = tf.TensorSpec([None, None], order.dtype)
                number = tf.TensorSpec([], first.dtype)
                traced[kinds] = tf.function(
                    run, [kinds, order_kind, number, number], autograph=False
                )
            return traced[kinds](columns, order, first, batches)

        return call


def _batch(columns: tuple[Any, ...], order: Any, row: Any) -> tuple[Any, ...]:
    chosen = tf.gather(order, row)
    pixels, *others = (tf.gather(column, chosen) for column in columns)
    # Keras's reader gives float32 whatever the files hold.
    return (tf.cast(pixels, tf.float32), *others)
