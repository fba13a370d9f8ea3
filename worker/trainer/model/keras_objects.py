"""Creates the Keras objects that a spec names, from the catalogue's classes and nothing else.

Keras's own deserialization forbids certain classes. This module allows only certain classes: one
that is not in the table cannot be created, whatever the spec says.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras

from fornada.db.states import FailureCode
from fornada.spec import KerasObject
from fornada.spec.catalogue import FAMILIES
from fornada.worker.trainer.failures import TrainingFailed

# `Input` is the shape of the model, and Fornada has classes of its own for the other two.
_NOT_OF_KERAS = frozenset({"Input", "MinPooling2D", "ModelCheckpoint"})
# Metrics that a spec names by their function; Keras reports them under the same name.
METRIC_FUNCTIONS = frozenset(name for name in FAMILIES["metrics"].entries if name.islower())
# An activation with arguments becomes a layer, because Keras can save and load a layer there, but
# not a function with bound arguments.
_ACTIVATIONS = {
    "elu": "ELU",
    "leaky_relu": "LeakyReLU",
    "relu": "ReLU",
    "softmax": "Softmax",
}


def module_of(family: str) -> Any:
    """The module of Keras that has the classes of a family of the catalogue."""
    return keras.optimizers.schedules if family == "schedules" else getattr(keras, family)


# Every class that a spec may create, by its name: the catalogue's, and no other.
CLASSES: Mapping[str, Any] = {
    name: getattr(module_of(family.name), name)
    for family in FAMILIES.values()
    if family.name != "activations"
    for name in family.entries
    if name not in _NOT_OF_KERAS | METRIC_FUNCTIONS
}


def make(item: KerasObject, where: str) -> Any:
    """Create a Keras object, and the objects in its arguments.

    Args:
        item: its class name must be in the catalogue.
        where: name of the object in messages, such as `model.3.Conv2D`.

    Raises:
        TrainingFailed: the class is not in the table, or Keras refuses the arguments.
    """
    if item.class_name in METRIC_FUNCTIONS:
        return item.class_name
    try:
        return _class(item)(**{name: _value(v, where) for name, v in item.arguments.items()})
    except (ValueError, TypeError) as error:
        raise TrainingFailed(FailureCode.MODEL_INVALID, f"{where}: {reason(error)}") from error


def _class(item: KerasObject) -> Any:
    name = item.class_name
    if name in _ACTIVATIONS:
        return getattr(keras.layers, _ACTIVATIONS[name])
    if name not in CLASSES:
        raise TrainingFailed(FailureCode.SPEC_INVALID, f"{name} is not supported yet.")
    return CLASSES[name]


def _value(value: Any, where: str) -> Any:
    if isinstance(value, KerasObject):
        return make(value, f"{where}.{value.class_name}")
    if isinstance(value, Mapping):
        return {key: _value(inner, where) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_value(inner, where) for inner in value]
    return value


def reason(error: Exception) -> str:
    """The message of Keras's error as one sentence, without colours and lists of arguments."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    # TensorFlow puts the origin of the operation before the reason, and its graph node after it.
    if text.startswith("Graph execution error"):
        text = text.split("\n\t [[{{node", 1)[0].rsplit("\n", 1)[-1]
    text = re.sub(r"^\{\{function_node [^}]*\}\} ", "", text)
    text = re.split(r" for '\{\{node| \[Op:", text, maxsplit=1)[0]
    text = text.split("\n\nArguments received by", 1)[0]
    text = re.sub(r"^Exception encountered when calling [\w.]+\(\)\.\s*", "", text)
    # These names are Keras's own; a user cannot find them in the spec.
    text = re.sub(r"^Input 0 with name '[^']*' of layer '[^']*' is", "the input is", text)
    return re.sub(r"\s+", " ", text).strip()
