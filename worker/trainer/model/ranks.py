"""Finds arguments of a layer that do not fit the shape of its input.

Keras refuses these too, but its messages do not name parts of the spec, or come only at the first
batch.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

# Shape of an input, without the batch.
Shape: TypeAlias = tuple[int, ...]


def unfit(layer: Any, shape: Shape) -> str | None:
    """Why a layer cannot take an input of this shape; None if it can.

    Args:
        layer: a Keras layer that is not built yet.
        shape: shape of its input for one image.
    """
    check = _CHECKS.get(type(layer).__name__)
    return _regularized(layer) or (check(layer, shape) if check else None)


def _regularized(layer: Any) -> str | None:
    regularizer = getattr(layer, "activity_regularizer", None)
    rows = getattr(regularizer, "mode", "") == "rows"
    if type(regularizer).__name__ != "OrthogonalRegularizer" or not rows:
        return None
    return (
        "OrthogonalRegularizer of outputs by rows needs batches of one size, and the last batch "
        "may be smaller. Expected mode: columns."
    )


def _noise(layer: Any, shape: Shape) -> str | None:
    noise, full = layer.noise_shape, (None, *shape)
    if noise is None:
        return None
    # The last axes are compared first, as in any broadcast.
    pairs = zip(reversed(noise), reversed(full), strict=False)
    # None stands for the input's size, so the shapes must then have the same number of axes.
    same_axes = all(size is not None for size in noise) or len(noise) == len(full)
    fits = all(size in (1, None, input_size) for size, input_size in pairs)
    if len(noise) <= len(full) and same_axes and fits:
        return None
    return (
        f"noise_shape {list(noise)} does not fit its input, whose shape for an image is {shape}. "
        f"Expected {[None, *shape]}, with 1 for an axis whose values share their noise."
    )


def _image(layer: Any, shape: Shape) -> str | None:
    if len(shape) == 3:
        return None
    return f"needs images of height, width and channels; the shape of its input is {shape}."


def _rescaling(layer: Any, shape: Shape) -> str | None:
    # Keras would broadcast an input of one value over the list, but report an unchanged shape.
    for name in ("scale", "offset"):
        count = np.size(getattr(layer, name))
        if count not in (1, shape[-1] if shape else 1):
            return (
                f"{name} is a list of {count}, and the shape of its input for an image is {shape}. "
                f"Expected one number, or a list of {shape[-1] if shape else 1}."
            )
    return None


_CHECKS: Mapping[str, Callable[[Any, Shape], str | None]] = {
    "Dropout": _noise,
    "Rescaling": _rescaling,
    **dict.fromkeys(
        ("RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"),
        _image,
    ),
}
