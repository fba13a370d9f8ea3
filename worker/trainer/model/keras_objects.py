"""Creates the Keras objects that a spec names, from the table below and nothing else.

Keras's own deserialization forbids certain classes. This module allows only certain classes: one
that is not in the table cannot be created, whatever the spec says.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras

from fornada.db.states import FailureCode
from fornada.spec import KerasObject
from fornada.worker.trainer.failures import TrainingFailed

_LAYERS = """
    Activation AveragePooling2D BatchNormalization Conv2D Dense Dropout Flatten
    GlobalAveragePooling2D GlobalMaxPooling2D LayerNormalization LeakyReLU MaxPooling2D
    Normalization RandomContrast RandomFlip RandomRotation RandomTranslation RandomZoom ReLU
    Rescaling Reshape SeparableConv2D SpatialDropout2D ZeroPadding2D
"""
_INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Ones RandomNormal RandomUniform
    TruncatedNormal Zeros
"""
_REGULARIZERS = "L1 L2 L1L2 OrthogonalRegularizer"
_CONSTRAINTS = "MaxNorm MinMaxNorm NonNeg UnitNorm"
_OPTIMIZERS = "Adam AdamW RMSprop SGD"
_SCHEDULES = "CosineDecay ExponentialDecay PiecewiseConstantDecay"
_LOSSES = "BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy"
_METRICS = """
    AUC Precision Recall BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy
    SparseTopKCategoricalAccuracy
"""
# Metrics that a spec names by their function; Keras reports them under the same name.
METRIC_FUNCTIONS = frozenset(
    {
        "accuracy",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
    }
)
_CALLBACKS = "EarlyStopping ReduceLROnPlateau SwapEMAWeights TerminateOnNaN"
# An activation with arguments becomes a layer, because Keras can save and load a layer there, but
# not a function with bound arguments.
_ACTIVATIONS = {
    "elu": "ELU",
    "leaky_relu": "LeakyReLU",
    "relu": "ReLU",
    "softmax": "Softmax",
}


def _classes() -> dict[str, Any]:
    names_by_module = {
        keras.layers: _LAYERS,
        keras.initializers: _INITIALIZERS,
        keras.regularizers: _REGULARIZERS,
        keras.constraints: _CONSTRAINTS,
        keras.optimizers: _OPTIMIZERS,
        keras.optimizers.schedules: _SCHEDULES,
        keras.losses: _LOSSES,
        keras.metrics: _METRICS,
        keras.callbacks: _CALLBACKS,
    }
    return {
        name: getattr(module, name)
        for module, names in names_by_module.items()
        for name in names.split()
    }


# Every class that a spec may create, by its name.
CLASSES = _classes()


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
