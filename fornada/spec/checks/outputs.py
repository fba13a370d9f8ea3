"""What kind of numbers a model gives, read from its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from fornada.spec.values import KerasObject, Value


class Gives(Enum):
    """What the numbers are that a layer gives for an image."""

    # Of all classes, together 1.
    PROBABILITIES = auto()
    # Each between 0 and 1, on its own.
    SHARES = auto()
    # Any number.
    LOGITS = auto()
    # Logarithms of probabilities: softmax gives the probabilities back.
    LOGARITHMS = auto()
    # Limited to a range that is no probability's, as relu does.
    LIMITED = auto()
    # Probabilities that a later layer has changed.
    CHANGED = auto()
    # Probabilities of probabilities, as two softmax give.
    TWICE = auto()
    # Probabilities that are together 1 over something else than the classes.
    ASKEW = auto()


@dataclass(frozen=True)
class ModelOutput:
    """What the model gives at one place.

    Attributes:
        gives: what the numbers are.
        layer: the layer that made them so; None: they are the images' pixels.
        function: the activation, where one made them so.
        rank: axes of the output, the batch included.
    """

    gives: Gives = Gives.LOGITS
    layer: KerasObject | None = None
    function: str = ""
    rank: int = 4


# Activations by what they make of logits; "linear" changes nothing.
_FUNCTIONS = {
    Gives.PROBABILITIES: ("softmax", "sparsemax"),
    Gives.SHARES: ("sigmoid", "hard_sigmoid", "sparse_sigmoid"),
    Gives.LOGITS: ("leaky_relu", "hard_shrink", "soft_shrink", "tanh_shrink"),
    Gives.LOGARITHMS: ("log_softmax",),
}
_GIVES = {name: gives for gives, names in _FUNCTIONS.items() for name in names}
_BOUNDED = (Gives.PROBABILITIES, Gives.SHARES, Gives.TWICE, Gives.ASKEW)
# Layers with weights: whatever came before, they give any number.
_WEIGHTED = frozenset({"Conv2D", "Dense", "SeparableConv2D"})
_FUNCTION_LAYERS = {"ReLU": "relu", "LeakyReLU": "leaky_relu"}
# Layers after which probabilities are still probabilities.
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
# The largest or smallest of several probabilities: each is one still, and their sum is not 1.
_EXTREMES = frozenset({"GlobalMaxPooling2D", "MaxPooling2D", "MinPooling2D"})
_SILENCING = frozenset({"Dropout", "SpatialDropout2D"})


def of(model: Sequence[KerasObject]) -> ModelOutput:
    """What a model gives.

    Args:
        model: its layers.
    """
    output = ModelOutput()
    for layer in model:
        output = _after(output, layer)
    return output


def _after(output: ModelOutput, layer: KerasObject) -> ModelOutput:
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
    if layer.class_name in _SILENCING:
        return arguments.get("rate") == 0
    if layer.class_name == "Rescaling":
        return arguments.get("scale") == 1 and arguments.get("offset") == 0
    return False


def _moved(output: ModelOutput, layer: KerasObject) -> ModelOutput:
    """After a layer that computes with the numbers."""
    if output.gives in _BOUNDED:
        extreme = layer.class_name in _EXTREMES
        gives = Gives.SHARES if extreme and output.gives is not Gives.TWICE else Gives.CHANGED
        return replace(output, gives=gives, layer=layer)
    if output.gives is Gives.LIMITED and layer.class_name not in (_SILENCING | _EXTREMES):
        return replace(output, gives=Gives.LOGITS, layer=layer, function="")
    return output


def _activated(output: ModelOutput, activation: Value, layer: KerasObject) -> ModelOutput:
    """After an activation; None is linear."""
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
        gives = Gives.TWICE if gives in _BOUNDED else Gives.CHANGED
        return ModelOutput(
            gives, layer, name if gives is Gives.TWICE else output.function, output.rank
        )
    axis = arguments.get("axis", -1)
    if name == "softmax" and axis not in (-1, output.rank - 1):
        gives = Gives.ASKEW
    return ModelOutput(gives, layer, name, output.rank)


def _keeps_shares(name: str, arguments: Mapping[str, Value]) -> bool:
    """Whether an activation leaves numbers between 0 and 1 as they are."""
    most, threshold = arguments.get("max_value"), arguments.get("threshold")
    if name == "relu":
        return not threshold and (most is None or (isinstance(most, int | float) and most >= 1))
    return name in ("relu6", "leaky_relu", "elu", "hard_tanh")


def _of_relu(slope: Value, most: Value) -> Gives:
    if isinstance(most, int | float) and most <= 1 and not slope:
        return Gives.SHARES
    return Gives.LOGITS if slope and most is None else Gives.LIMITED
