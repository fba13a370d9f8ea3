"""Follows the shape of an image through a model, from the spec alone.

The trainer computes the exact size of every model before it allocates anything. These checks find
absurdly large models, and layers that cannot take their input, already when the spec is read,
without Keras and without the data.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from fornada.db.states import FailureCode
from fornada.spec.source.limits import MAX_PARAMETERS
from fornada.spec.values import KerasObject, Value

TOO_LARGE = FailureCode.RESOURCE_LIMIT
IMPOSSIBLE = FailureCode.MODEL_INVALID
# Shape of one image's values, without the batch axis; None if it is not known.
Shape: TypeAlias = "tuple[int, ...] | None"
Arguments: TypeAlias = Mapping[str, Value]


def too_large(
    model: Iterable[KerasObject], shape: Shape, limit: int = MAX_PARAMETERS
) -> tuple[KerasObject, str] | None:
    """The first layer at which a model exceeds the limit, and a message; None if none does.

    Args:
        model: the layers, from first to last.
        shape: height, width and channels of an image.
        limit: most parameters in total, and most values in one layer's output for one image.
    """
    parameters = 0
    for layer in model:
        arguments = layer.arguments
        parameters += _PARAMETERS.get(layer.class_name, _no_parameters)(arguments, shape)
        if parameters > limit:
            return layer, _sentence(parameters, "parameters", limit)
        shape = after(layer, shape)
        if shape and math.prod(shape) > limit:
            return layer, _sentence(math.prod(shape), "values for one image", limit)
    return None


def impossible(model: Iterable[KerasObject], shape: Shape) -> tuple[KerasObject, str] | None:
    """The first layer that Keras cannot apply to its input, and a message; None if none is found.

    The layers after one of unknown size are not looked at: Keras does that when it builds the
    model.

    Args:
        model: the layers, from first to last.
        shape: height, width and channels of an image.
    """
    for layer in model:
        if shape is None:
            return None
        if message := _refused(layer, shape):
            return layer, message
        # The number of classes is not known yet.
        open_ended = any(_is_open(layer.arguments.get(name)) for name in _GIVE_SIZES)
        shape = None if open_ended else after(layer, shape)
    return None


def after(layer: KerasObject, shape: Shape) -> Shape:
    """The shape of a layer's output, in which a size of "classes" counts as 1.

    Args:
        layer: the layer.
        shape: of its input.
    """
    return _SHAPES.get(layer.class_name, _same)(layer.arguments, shape)


def _refused(layer: KerasObject, shape: tuple[int, ...]) -> str | None:
    """Why a layer cannot take an input of this shape; None if it can."""
    name, arguments = layer.class_name, layer.arguments
    if name == "Reshape":
        return _not_reshaped(arguments, shape)
    if name not in _ON_IMAGES:
        return None
    if len(shape) != 3:
        return (
            f"its input has the shape {list(shape)}, without height and width.\n"
            "  Expected this layer before the one that removes them, such as Flatten."
        )
    window = next((one for one in ("kernel_size", "pool_size") if one in arguments), None)
    if window and _windowed(arguments, shape, window) is None:
        (height, width), (rows, columns) = shape[:2], _reach(arguments, window)
        return (
            f"its {window} covers {rows} x {columns} pixels, and its input has only "
            f"{height} x {width}.\n"
            f"  Expected a smaller {window}, padding: same, or a larger data.image_size."
        )
    groups = arguments.get("groups")
    if isinstance(groups, int) and shape[-1] % groups:
        return (
            f"its input has {shape[-1]} channels, and groups: {groups} does not divide them.\n"
            f"  Expected a divisor of {shape[-1]}."
        )
    return None


def _not_reshaped(arguments: Arguments, shape: tuple[int, ...]) -> str | None:
    target = arguments["target_shape"]
    assert isinstance(target, tuple)  # noqa: S101  (a list is kept as a tuple)
    # More than one unknown size is refused by itself.
    if _is_open(target) or target.count(-1) > 1:
        return None
    reshaped = _reshaped(arguments, shape)
    if reshaped and math.prod(reshaped) == math.prod(shape):
        return None
    return (
        f"its input has {math.prod(shape)} values, in the shape {list(shape)}, and target_shape "
        f"{list(target)} cannot hold them.\n"
        f"  Expected a target_shape of {math.prod(shape)} values."
    )


def _is_open(value: Value) -> bool:
    """Whether a size depends on the number of classes."""
    return isinstance(value, str) or (isinstance(value, tuple) and any(map(_is_open, value)))


def _sentence(count: int, of_what: str, limit: int) -> str:
    # A count may have 60 digits; nobody needs to read them.
    shown = f"{count:,}" if count < 10**18 else "10^18 or more"
    return f"the model has at least {shown} {of_what} here.\n  Expected at most {limit:,}."


def _size(value: Value) -> int:
    """A size as a number. "classes" counts as 1, because this is a lower bound."""
    return value if isinstance(value, int) else 1


def _pair(value: Value) -> tuple[int, int]:
    assert isinstance(value, tuple)  # noqa: S101  (kinds of two are kept as two)
    return _size(value[0]), _size(value[1])


def _last(shape: Shape) -> int:
    return shape[-1] if shape else 1


def _no_parameters(arguments: Arguments, shape: Shape) -> int:
    return 0


def _dense(arguments: Arguments, shape: Shape) -> int:
    return _last(shape) * _size(arguments["units"])


def _convolution(arguments: Arguments, shape: Shape) -> int:
    filters, groups = _size(arguments["filters"]), _size(arguments["groups"])
    return math.prod(_pair(arguments["kernel_size"])) * max(1, _last(shape) // groups) * filters


def _separable(arguments: Arguments, shape: Shape) -> int:
    between = _last(shape) * _size(arguments["depth_multiplier"])
    depthwise = math.prod(_pair(arguments["kernel_size"])) * between
    return depthwise + between * _size(arguments["filters"])


def _same(arguments: Arguments, shape: Shape) -> Shape:
    return shape


def _flattened(arguments: Arguments, shape: Shape) -> Shape:
    return (math.prod(shape),) if shape else None


def _dense_output(arguments: Arguments, shape: Shape) -> Shape:
    return (*shape[:-1], _size(arguments["units"])) if shape else None


def _filtered(arguments: Arguments, shape: Shape) -> Shape:
    moved = _windowed(arguments, shape, "kernel_size")
    return (*moved[:2], _size(arguments["filters"])) if moved else None


def _pooled(arguments: Arguments, shape: Shape) -> Shape:
    return _windowed(arguments, shape, "pool_size")


def _windowed(arguments: Arguments, shape: Shape, window: str) -> Shape:
    if shape is None or len(shape) != 3:
        return None
    strides = _pair(arguments["strides"] or arguments[window])
    sides = [
        (length - reach) // stride + 1
        for length, reach, stride in zip(shape, _reach(arguments, window), strides, strict=False)
    ]
    return (*sides, shape[2]) if min(sides) > 0 else None


def _reach(arguments: Arguments, window: str) -> tuple[int, int]:
    """How many rows and columns of its input a window needs."""
    if arguments["padding"] == "same":
        return 1, 1
    rows, columns = _pair(arguments[window])
    dilation = _pair(arguments.get("dilation_rate", (1, 1)))
    return dilation[0] * (rows - 1) + 1, dilation[1] * (columns - 1) + 1


def _global(arguments: Arguments, shape: Shape) -> Shape:
    if shape is None or len(shape) != 3:
        return None
    return (1, 1, shape[2]) if arguments["keepdims"] else (shape[2],)


def _reshaped(arguments: Arguments, shape: Shape) -> Shape:
    target = arguments["target_shape"]
    assert isinstance(target, tuple)  # noqa: S101  (a list is kept as a tuple)
    if target.count(-1) > 1:
        return None
    known = math.prod(_size(side) for side in target if side != -1)
    if -1 not in target:
        return tuple(map(_size, target))
    if shape is None or math.prod(shape) % known:
        return None
    return tuple(math.prod(shape) // known if side == -1 else _size(side) for side in target)


def _padded(arguments: Arguments, shape: Shape) -> Shape:
    margins = arguments["padding"]
    if shape is None or len(shape) != 3 or not isinstance(margins, tuple):
        return None
    height, width = (
        length + sum(_pair(margin)) for length, margin in zip(shape, margins, strict=False)
    )
    return (height, width, shape[2])


_PARAMETERS: dict[str, Callable[[Arguments, Shape], int]] = {
    "Dense": _dense,
    "Conv2D": _convolution,
    "SeparableConv2D": _separable,
}
_SHAPES: dict[str, Callable[[Arguments, Shape], Shape]] = {
    "Flatten": _flattened,
    "Dense": _dense_output,
    "Conv2D": _filtered,
    "SeparableConv2D": _filtered,
    "MaxPooling2D": _pooled,
    "MinPooling2D": _pooled,
    "AveragePooling2D": _pooled,
    "GlobalMaxPooling2D": _global,
    "GlobalAveragePooling2D": _global,
    "Reshape": _reshaped,
    "ZeroPadding2D": _padded,
}
# Arguments that give a size, which may be the number of classes.
_GIVE_SIZES = ("units", "filters", "target_shape")
# Layers that need height, width and channels.
_ON_IMAGES = frozenset(
    {
        "AveragePooling2D",
        "Conv2D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "MaxPooling2D",
        "MinPooling2D",
        "RandomContrast",
        "RandomFlip",
        "RandomRotation",
        "RandomTranslation",
        "RandomZoom",
        "SeparableConv2D",
        "SpatialDropout2D",
        "ZeroPadding2D",
    }
)
