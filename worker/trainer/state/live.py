"""Copies Keras's variables and callbacks into a state, and back, as NumPy arrays and numbers.

Nothing here depends on the backend, so a training may resume on another backend.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fornada.worker.trainer.state.contents import CallbackFacts, State, grouped
from fornada.worker.trainer.state.tensors import Arrays, Broken


@dataclass(frozen=True)
class _Kept:
    """Names of a callback's attributes that change during training."""

    numbers: tuple[str, ...] = ()
    # Attributes that are a list of arrays, or None.
    arrays: tuple[str, ...] = ()


# Every callback that a spec may name; ModelCheckpoint only where the spec gives it a file name.
CALLBACKS = {
    "EarlyStopping": _Kept(("wait", "stopped_epoch", "best", "best_epoch"), ("best_weights",)),
    "ModelCheckpoint": _Kept(("best",)),
    "ReduceLROnPlateau": _Kept(("wait", "best", "cooldown_counter")),
    "SwapEMAWeights": _Kept(("_ema_weights_in_model", "testing"), ("raw",)),
    "TerminateOnNaN": _Kept(),
}


@dataclass(frozen=True)
class Live:
    """A model and its callbacks, whose values a state holds.

    Attributes:
        model: built and compiled.
        batch: one batch as the engine feeds it; Keras builds the metrics for its shapes.
        callbacks: the spec's callbacks in their order, without `BestModel`.
    """

    model: keras.Model
    batch: tuple[NDArray[Any], ...]
    callbacks: Sequence[Any] = field(default_factory=tuple)

    def build(self) -> None:
        """Create every variable that a state holds. Keras would create most at the first batch."""
        self.model._symbolic_build(data_batch=self.batch)

    def size(self) -> int:
        """How many numbers a state holds between two epochs, counting variables that exist now."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        kept = [array for _, arrays in self._callback_arrays() for array in arrays]
        return sum(math.prod(each.shape) for each in [*variables, *kept])

    def arrays(self, *, with_metrics: bool) -> Arrays:
        """Copies of all present values.

        Args:
            with_metrics: whether to include the metrics' variables; see `Place.with_metrics`.
        """
        found = grouped("model", _values(self.model.variables))
        found |= grouped("optimizer", _values(self.model.optimizer.variables))
        if with_metrics:
            found |= grouped("metrics", _values(self.model.metrics_variables))
        for name, arrays in self._callback_arrays():
            found |= grouped(name, arrays)
        return found

    def callback_facts(self) -> list[CallbackFacts]:
        """The present numbers of the callbacks."""
        return [
            CallbackFacts(
                class_name=type(callback).__name__,
                values={name: getattr(callback, name) for name in _kept(callback).numbers},
            )
            for callback in self.callbacks
        ]

    def check(self, state: State) -> None:
        """Check that a state fits the model's variables and callbacks. Call `build` first.

        Raises:
            Broken: the number, shape or type of the variables differs, or the callbacks differ.
        """
        same_backend = state.facts.origin.maker.backend == keras.backend.backend()
        groups = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        if state.facts.place.with_metrics:
            groups["metrics"] = self.model.metrics_variables
        for name, variables in groups.items():
            _compare(name, state.group(name), variables, same_backend=same_backend)
        saved = [facts.class_name for facts in state.facts.callbacks]
        present = [type(callback).__name__ for callback in self.callbacks]
        if saved != present:
            raise Broken(f"it holds the callbacks {saved}; here are {present}")

    def restore(self, state: State) -> None:
        """Put a state's values back. Call `check` and the callbacks' `on_train_begin` first."""
        _assign(self.model.variables, state.group("model"))
        _assign(self.model.optimizer.variables, state.group("optimizer"))
        if state.facts.place.with_metrics:
            _assign(self.model.metrics_variables, state.group("metrics"))
        for index, callback in enumerate(self.callbacks):
            for name, value in state.facts.callbacks[index].values.items():
                setattr(callback, name, value)
            for name in _kept(callback).arrays:
                setattr(callback, name, state.group(f"callbacks/{index}/{name}") or None)
        self.model.stop_training = state.facts.stop

    def _callback_arrays(self) -> Iterator[tuple[str, Sequence[Any]]]:
        for index, callback in enumerate(self.callbacks):
            for name in _kept(callback).arrays:
                yield f"callbacks/{index}/{name}", getattr(callback, name) or ()


def _kept(callback: Any) -> _Kept:
    return CALLBACKS[type(callback).__name__]


def _values(variables: Sequence[Any]) -> list[NDArray[Any]]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _compare(
    name: str, arrays: Sequence[NDArray[Any]], variables: Sequence[Any], *, same_backend: bool
) -> None:
    if len(arrays) != len(variables):
        raise Broken(f"it holds {len(arrays)} variables of {name}; here are {len(variables)}")
    for array, variable in zip(arrays, variables, strict=True):
        present, saved = tuple(variable.shape), array.shape
        if present != saved:
            raise Broken(f"{variable.path} has shape {saved} in it, {present} here")
        if not _same_type(str(array.dtype), str(variable.dtype), same_backend=same_backend):
            raise Broken(f"{variable.path} is {array.dtype} in it, {variable.dtype} here")


def _same_type(saved: str, present: str, *, same_backend: bool) -> bool:
    if saved == present:
        return True
    # Another backend may use integers of another length for its counters.
    return not same_backend and all(np.issubdtype(each, np.integer) for each in (saved, present))
