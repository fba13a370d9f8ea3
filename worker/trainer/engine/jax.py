"""JAX: each step of a model as one compiled loop over the batches of a block.

It does what `keras/src/backend/jax/trainer.py` does in `fit`, `evaluate` and `predict`, but on
images that are already on the device, and in Fornada's order.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax
from numpy.typing import NDArray

from fornada.worker.trainer.engine.interface import Block

# Values of the trainable variables, other variables of layers, the optimizer and the metrics.
_State = tuple[list[Any], list[Any], list[Any], list[Any]]


class JaxProgram:
    """See `Program`.

    The loops use `fori_loop`, whose length is an argument of the call. `lax.scan` would be
    compiled again for each length.

    Args:
        model: built and compiled, with all of its variables.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        # The model whose variables hold the values. A compiled step gets them as arguments.
        self._trained = model
        # Donated: the new state may use the memory of the old one.
        self._train = jax.jit(self._train_rows, donate_argnums=0)
        self._test = jax.jit(self._test_rows, donate_argnums=0)
        self._predict = jax.jit(self._predict_rows)

    @property
    def bytes(self) -> int:
        """See `Program.bytes`."""
        return sum(v.value.nbytes for group in _variables(self._trained) for v in group)

    def adopt(self, model: keras.Model) -> None:
        """See `Program.adopt`."""
        self._trained = model

    def put(self, array: NDArray[Any]) -> Any:
        """See `Program.put`."""
        return jax.device_put(array)

    def train(self, block: Block, *, jit: bool) -> None:
        """See `Program.train`."""
        self._assign(self._train(self._state(), *_arguments(block)))

    def test(self, block: Block) -> None:
        """See `Program.test`."""
        self._assign(self._test(self._state(), *_arguments(block)))

    def predict(self, block: Block) -> NDArray[Any]:
        """See `Program.predict`."""
        outputs = np.asarray(self._predict(self._state(), *_arguments(block)))
        outputs = outputs[block.first : block.first + block.batches]
        return outputs.reshape(-1, *outputs.shape[2:])

    def _state(self) -> _State:
        trained, others, optimizer, metrics = (
            [variable.value for variable in group] for group in _variables(self._trained)
        )
        return trained, others, optimizer, metrics

    def _assign(self, state: _State) -> None:
        for variables, values in zip(_variables(self._trained), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _train_rows(self, state: _State, columns: Any, order: Any, first: Any, end: Any) -> _State:
        def body(row: Any, state: _State) -> _State:
            _, (trained, others, optimizer, metrics) = self.model.train_step(
                state, _batch(columns, order, row)
            )
            return list(trained), list(others), list(optimizer), list(metrics)

        done: _State = lax.fori_loop(first, end, body, state)
        return done

    def _test_rows(self, state: _State, columns: Any, order: Any, first: Any, end: Any) -> _State:
        def body(row: Any, state: _State) -> _State:
            trained, others, optimizer, metrics = state
            _, (trained, others, metrics) = self.model.test_step(
                (trained, others, metrics), _batch(columns, order, row)
            )
            return list(trained), list(others), optimizer, list(metrics)

        done: _State = lax.fori_loop(first, end, body, state)
        return done

    def _predict_rows(self, state: _State, columns: Any, order: Any, first: Any, end: Any) -> Any:
        """Outputs for the rows of the block, zeros for others: JAX needs a shape known before."""

        def body(row: Any, found: Any) -> Any:
            output, _ = self.model.predict_step(state[:2], _batch(columns, order, row))
            return found.at[row].set(output.astype(jnp.float32))

        shape = (*order.shape, *self.model.output_shape[1:])
        return lax.fori_loop(first, end, body, jnp.zeros(shape, jnp.float32))


def _variables(model: keras.Model) -> tuple[Sequence[Any], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def _arguments(block: Block) -> tuple[Any, ...]:
    # JAX would compile another program for Python's numbers, which have other types.
    first, end = np.int32(block.first), np.int32(block.first + block.batches)
    return block.columns, block.order, first, end


def _batch(columns: tuple[Any, ...], order: Any, row: Any) -> tuple[Any, ...]:
    pixels, *others = (column[order[row]] for column in columns)
    # Models get float32, as from Keras's reader.
    return (pixels.astype(jnp.float32), *others)
