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

# Most programs that a process keeps, and most bytes of their variables.
_MOST = 8
_MOST_BYTES = 2**28


class Programs:
    """Programs that no model uses at the moment. The one used last is at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Program] = OrderedDict()

    def take(self, model: keras.Model) -> Program:
        """Take a kept program of the model's structure, or create a new program.

        Args:
            model: built and compiled, with all of its variables. A kept program continues with
                this model's values.

        Raises:
            TrainingFailed: the backend is not supported.
        """
        program = self._kept.pop(structure(model), None)
        if program is None:
            return _compiled(model)
        program.adopt(model)
        return program

    def give_back(self, program: Program) -> None:
        """Keep a program for the next `take`. The model that used it must not be used any more."""
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


# The programs that this process keeps.
PROGRAMS = Programs()


def structure(model: keras.Model) -> str:
    """Describe everything that is compiled into a model's steps.

    Models of equal structure may share a program. The text holds layers, loss, metrics and
    optimizer with their arguments. It leaves out seeds and a constant learning rate, because these
    are variables.
    """
    parts = {
        "input": model.input_shape,
        "layers": [(type(layer).__name__, layer.get_config()) for layer in model.layers],
        "compile": model.get_compile_config(),
    }
    return json.dumps(_without_variables(parts), sort_keys=True, default=_as_json)


def _without_variables(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_variables(item)
            for name, item in value.items()
            if not _is_variable(name, item)
        }
    if isinstance(value, list | tuple):
        return [_without_variables(item) for item in value]
    return value


def _is_variable(name: str, value: Any) -> bool:
    return name == "seed" or (name == "learning_rate" and isinstance(value, float | int))


def _as_json(value: Any) -> Any:
    """Convert an argument that JSON cannot express: an array, or an object of Keras."""
    try:
        return np.asarray(value, np.float64).tolist()
    except (TypeError, ValueError):
        return keras.saving.serialize_keras_object(value)
