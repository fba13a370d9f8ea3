"""The living side of a state: Keras's variables and callbacks, read and written as plain numbers.

Nothing here knows a backend: a state that one has saved another can go on from.
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
    """The attributes that change while a callback of Keras's lives."""

    numbers: tuple[str, ...] = ()
    # Lists of arrays, or None.
    arrays: tuple[str, ...] = ()


# Every callback that a spec may name; ModelCheckpoint where it has a file of its own.
CALLBACKS = {
    "EarlyStopping": _Kept(("wait", "stopped_epoch", "best", "best_epoch"), ("best_weights",)),
    "ModelCheckpoint": _Kept(("best",)),
    "ReduceLROnPlateau": _Kept(("wait", "best", "cooldown_counter")),
    "SwapEMAWeights": _Kept(("_ema_weights_in_model", "testing"), ("raw",)),
    "TerminateOnNaN": _Kept(),
}


@dataclass(frozen=True)
class Live:
    """A model and its callbacks as a state knows them.

    Attributes:
        model: built and compiled.
        batch: one batch as the engine feeds it: it says which shapes the metrics are built for.
        callbacks: Keras's own, in the spec's order.
    """

    model: keras.Model
    batch: tuple[NDArray[Any], ...]
    callbacks: Sequence[Any] = field(default_factory=tuple)

    def build(self) -> None:
        """Make every variable that a state holds: Keras makes most of them at the first batch."""
        self.model._symbolic_build(data_batch=self.batch)

    def size(self) -> int:
        """How many numbers a state holds between two epochs, as far as their variables are made."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        kept = [array for _, arrays in self._callback_arrays() for array in arrays]
        return sum(math.prod(each.shape) for each in [*variables, *kept])

    def arrays(self, *, inside: bool) -> Arrays:
        """All numbers of now, copied.

        Args:
            inside: whether an epoch is under way, whose metrics are then part of it.
        """
        found = grouped("model", _values(self.model.variables))
        found |= grouped("optimizer", _values(self.model.optimizer.variables))
        if inside:
            found |= grouped("metrics", _values(self.model.metrics_variables))
        for name, arrays in self._callback_arrays():
            found |= grouped(name, arrays)
        return found

    def callback_facts(self) -> list[CallbackFacts]:
        """The callbacks' numbers of now."""
        return [
            CallbackFacts(
                class_name=type(callback).__name__,
                values={name: getattr(callback, name) for name in _kept(callback).numbers},
            )
            for callback in self.callbacks
        ]

    def check(self, state: State) -> None:
        """Compare a state with the variables it would go into; `build` comes before.

        Raises:
            Broken: another number, shape or kind of them.
        """
        same = state.facts.origin.maker.backend == keras.backend.backend()
        groups = {"model": self.model.variables, "optimizer": self.model.optimizer.variables}
        if state.facts.place.inside:
            groups["metrics"] = self.model.metrics_variables
        for name, variables in groups.items():
            _compare(name, state.group(name), variables, same_backend=same)
        kept = [facts.class_name for facts in state.facts.callbacks]
        mine = [type(callback).__name__ for callback in self.callbacks]
        if kept != mine:
            raise Broken(f"it holds the callbacks {kept}; here are {mine}")

    def restore(self, state: State) -> None:
        """Put a state's numbers back; `check` comes before, and the callbacks' `on_train_begin`."""
        _assign(self.model.variables, state.group("model"))
        _assign(self.model.optimizer.variables, state.group("optimizer"))
        if state.facts.place.inside:
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
        mine, its = tuple(variable.shape), array.shape
        if mine != its:
            raise Broken(f"{variable.path} has shape {its} in it, {mine} here")
        if not _same_kind(str(array.dtype), str(variable.dtype), same_backend=same_backend):
            raise Broken(f"{variable.path} is {array.dtype} in it, {variable.dtype} here")


def _same_kind(its: str, mine: str, *, same_backend: bool) -> bool:
    # Backends count in integers of different length.
    counts = all(np.issubdtype(kind, np.integer) for kind in (its, mine)) if its != mine else False
    return its == mine or (counts and not same_backend)
