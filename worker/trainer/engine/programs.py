"""Keeps compiled programs, so that a job of the same structure needs no compilation."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from fornada.db.states import FailureCode
from fornada.worker.trainer.engine.interface import Program
from fornada.worker.trainer.failures import TrainingFailed

# Structures that a process remembers, and how many bytes of variables at most.
_MOST = 8
_MOST_BYTES = 2**28


class Programs:
    """Programs that no model uses now, the one used last at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Program] = OrderedDict()

    def take(self, model: keras.Model) -> Program:
        """A program for a model: a kept one of its structure, or a new one.

        Args:
            model: built and compiled, with all of its variables. A kept program goes on with
                its numbers.

        Raises:
            TrainingFailed: there is none for the backend.
        """
        program = self._kept.pop(structure(model), None)
        if program is None:
            return _compiled(model)
        program.adopt(model)
        return program

    def give_back(self, program: Program) -> None:
        """Keep a program; the model that used it must not be used any more."""
        self._kept[structure(program.model)] = program
        while len(self._kept) > _MOST or self._bytes > _MOST_BYTES:
            self._kept.popitem(last=False)

    @property
    def _bytes(self) -> int:
        return sum(program.bytes for program in self._kept.values())


def _compiled(model: keras.Model) -> Program:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from fornada.worker.trainer.engine.tensorflow import TensorFlowProgram

        return TensorFlowProgram(model)
    if backend == "jax":
        from fornada.worker.trainer.engine.jax import JaxProgram

        return JaxProgram(model)
    message = f"KERAS_BACKEND={backend} is not supported; use tensorflow or jax."
    raise TrainingFailed(FailureCode.INTERNAL, message)


# Of this process.
PROGRAMS = Programs()


def structure(model: keras.Model) -> str:
    """All that is compiled into a model's steps: equal for models that may share a program.

    Layers, loss, metrics and optimizer with all of their arguments, less seeds and a learning
    rate that is a number: these are variables.
    """
    parts = {
        "input": model.input_shape,
        "layers": [(type(layer).__name__, layer.get_config()) for layer in model.layers],
        "compile": model.get_compile_config(),
    }
    return json.dumps(_lasting(parts), sort_keys=True, default=_plain)


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _lasting(item) for name, item in value.items() if not _varies(name, item)}
    if isinstance(value, list | tuple):
        return [_lasting(item) for item in value]
    return value


def _varies(name: str, value: Any) -> bool:
    return name == "seed" or (name == "learning_rate" and isinstance(value, float | int))


def _plain(value: Any) -> Any:
    """Whatever else a layer's arguments may be: arrays, and objects that say what they are."""
    try:
        return np.asarray(value, np.float64).tolist()
    except (TypeError, ValueError):
        return keras.saving.serialize_keras_object(value)
