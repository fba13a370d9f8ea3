"""From a spec's words to Keras objects, through the table below and nothing else.

Keras's own deserialization forbids some things; this allows some. A class that is not in the
table cannot be built, whatever the spec says.
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
# An activation with arguments is the layer of that name: Keras saves and loads it in place of a
# function, which a function with bound arguments would not survive.
_ACTIVATIONS = {
    "elu": "ELU",
    "leaky_relu": "LeakyReLU",
    "relu": "ReLU",
    "softmax": "Softmax",
}


def _houses() -> dict[str, Any]:
    houses = {
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
    return {name: getattr(house, name) for house, names in houses.items() for name in names.split()}


# Every class that a spec can bring to life, by its name.
CLASSES = _houses()


def make(item: KerasObject, where: str) -> Any:
    """Build one Keras object with all that its arguments hold.

    Args:
        item: its class name is one of the catalogue's.
        where: what a failure calls it, `model.3.Conv2D`.

    Raises:
        TrainingFailed: no such class, or Keras refuses the arguments.
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
    """What Keras says, as one sentence: no colours, no list of the call's arguments."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    # TensorFlow tells the story of an operation before, and its place in the graph behind.
    if text.startswith("Graph execution error"):
        text = text.split("\n\t [[{{node", 1)[0].rsplit("\n", 1)[-1]
    text = re.sub(r"^\{\{function_node [^}]*\}\} ", "", text)
    text = re.split(r" for '\{\{node| \[Op:", text, maxsplit=1)[0]
    text = text.split("\n\nArguments received by", 1)[0]
    text = re.sub(r"^Exception encountered when calling [\w.]+\(\)\.\s*", "", text)
    # Keras numbers its inputs and names layers itself, which says nothing about a spec.
    text = re.sub(r"^Input 0 with name '[^']*' of layer '[^']*' is", "the input is", text)
    return re.sub(r"\s+", " ", text).strip()
