"""Finds what kind of numbers a model gives, such as probabilities or logits, from its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from fornada.spec.values import KerasObject, Value


class Gives(Enum):
    """Kinds of numbers that a layer gives for an image."""

    # Between 0 and 1; they add up to 1 over all classes.
    PROBABILITIES = auto()
    # Between 0 and 1, but they do not add up to 1, as after sigmoid.
    BETWEEN_0_AND_1 = auto()
    # Any number.
    LOGITS = auto()
    # Logarithms of probabilities. Softmax turns them back into the probabilities.
    LOGARITHMS = auto()
    # Only numbers of some range, and not between 0 and 1: for example after relu.
    LIMITED = auto()
    # Probabilities that a later layer changed.
    CHANGED = auto()
    # An activation for logits was applied to numbers between 0 and 1, such as softmax twice.
    ACTIVATED_TWICE = auto()
    # Probabilities that add up to 1 along another axis than that of the classes.
    WRONG_AXIS = auto()


@dataclass(frozen=True)
class ModelOutput:
    """The numbers after one layer of a model.

    Attributes:
        gives: the kind of numbers.
        layer: the layer that decided the kind; None: the numbers are the pixels of the images.
        function: the activation that decided the kind; empty if none did.
        rank: number of axes, with the batch axis.
    """

    gives: Gives = Gives.LOGITS
    layer: KerasObject | None = None
    function: str = ""
    rank: int = 4


# Activations by the kind of numbers they make of logits. All others but linear give LIMITED.
_FUNCTIONS = {
    Gives.PROBABILITIES: ("softmax", "sparsemax"),
    Gives.BETWEEN_0_AND_1: ("sigmoid", "hard_sigmoid", "sparse_sigmoid"),
    Gives.LOGITS: ("leaky_relu", "hard_shrink", "soft_shrink", "tanh_shrink"),
    Gives.LOGARITHMS: ("log_softmax",),
}
_GIVES = {name: gives for gives, names in _FUNCTIONS.items() for name in names}
_BOUNDED = (Gives.PROBABILITIES, Gives.BETWEEN_0_AND_1, Gives.ACTIVATED_TWICE, Gives.WRONG_AXIS)
# Layers with weights. They give any number, for any input.
_WEIGHTED = frozenset({"Conv2D", "Dense", "SeparableConv2D"})
_FUNCTION_LAYERS = {"ReLU": "relu", "LeakyReLU": "leaky_relu"}
# Layers that leave the kind of numbers as it is: probabilities are still probabilities.
_KEEP = frozenset(
    {
        "AveragePooling2D",
        "Flatten",
        "GlobalAveragePooling2D",
        "Input",
        "RandomFlip",
        "Reshape",
        "ZeroPadding2D",
    }
)
# Layers that keep the largest or smallest of several numbers. Of probabilities, the results are
# still between 0 and 1, but no longer add up to 1.
_EXTREMES = frozenset({"GlobalMaxPooling2D", "MaxPooling2D", "MinPooling2D"})
# Layers that set some numbers to 0 during training.
_DROPOUTS = frozenset({"Dropout", "SpatialDropout2D"})


def of(model: Sequence[KerasObject]) -> ModelOutput:
    """The numbers that a model gives.

    Args:
        model: the layers, from first to last.
    """
    output = ModelOutput()
    for layer in model:
        output = _after(output, layer)
    return output


def _after(output: ModelOutput, layer: KerasObject) -> ModelOutput:
    """The numbers after `layer`, if its input is `output`."""
    name, arguments = layer.class_name, layer.arguments
    output = replace(output, rank=_rank(output.rank, layer))
    if name in _WEIGHTED:
        fresh = ModelOutput(Gives.LOGITS, layer, "", output.rank)
        return _activated(fresh, arguments.get("activation"), layer)
    if name == "Activation":
        return _activated(output, arguments.get("activation"), layer)
    if name in _FUNCTION_LAYERS:
        return _activated(output, KerasObject(_FUNCTION_LAYERS[name], arguments), layer)
    if name in _KEEP or _changes_nothing(layer):
        return output
    return _moved(output, layer)


def _rank(rank: int, layer: KerasObject) -> int:
    if layer.class_name == "Flatten":
        return 2
    if layer.class_name == "Reshape" and isinstance(layer.arguments["target_shape"], tuple):
        return 1 + len(layer.arguments["target_shape"])
    if layer.class_name.startswith("Global"):
        return 4 if layer.arguments.get("keepdims") else 2
    return rank


def _changes_nothing(layer: KerasObject) -> bool:
    arguments = layer.arguments
    if layer.class_name in _DROPOUTS:
        return arguments.get("rate") == 0
    if layer.class_name == "Rescaling":
        return arguments.get("scale") == 1 and arguments.get("offset") == 0
    return False


def _moved(output: ModelOutput, layer: KerasObject) -> ModelOutput:
    """The numbers after a layer without weights and activation that computes new numbers."""
    if output.gives in _BOUNDED:
        selects = layer.class_name in _EXTREMES and output.gives is not Gives.ACTIVATED_TWICE
        gives = Gives.BETWEEN_0_AND_1 if selects else Gives.CHANGED
        return replace(output, gives=gives, layer=layer)
    if output.gives is Gives.LIMITED and layer.class_name not in (_DROPOUTS | _EXTREMES):
        return replace(output, gives=Gives.LOGITS, layer=layer, function="")
    return output


def _activated(output: ModelOutput, activation: Value, layer: KerasObject) -> ModelOutput:
    """The numbers after an activation. None means linear.

    Args:
        layer: the layer that has the activation.
    """
    name = activation.class_name if isinstance(activation, KerasObject) else activation
    arguments = activation.arguments if isinstance(activation, KerasObject) else {}
    if not isinstance(name, str) or name == "linear":
        return output
    if output.gives in _BOUNDED and _keeps_shares(name, arguments):
        return output
    gives = _GIVES.get(name, Gives.LIMITED)
    if name == "relu":
        gives = _of_relu(arguments.get("negative_slope"), arguments.get("max_value"))
    elif name == "leaky_relu" and arguments.get("negative_slope") == 0:
        gives = Gives.LIMITED
    if output.gives in _BOUNDED:
        gives = Gives.ACTIVATED_TWICE if gives in _BOUNDED else Gives.CHANGED
        return ModelOutput(
            gives, layer, name if gives is Gives.ACTIVATED_TWICE else output.function, output.rank
        )
    axis = arguments.get("axis", -1)
    if name == "softmax" and axis not in (-1, output.rank - 1):
        gives = Gives.WRONG_AXIS
    return ModelOutput(gives, layer, name, output.rank)


def _keeps_shares(name: str, arguments: Mapping[str, Value]) -> bool:
    """Whether an activation does not change numbers between 0 and 1."""
    most, threshold = arguments.get("max_value"), arguments.get("threshold")
    if name == "relu":
        return not threshold and (most is None or (isinstance(most, int | float) and most >= 1))
    return name in ("relu6", "leaky_relu", "elu", "hard_tanh")


def _of_relu(slope: Value, most: Value) -> Gives:
    if isinstance(most, int | float) and most <= 1 and not slope:
        return Gives.BETWEEN_0_AND_1
    return Gives.LOGITS if slope and most is None else Gives.LIMITED
