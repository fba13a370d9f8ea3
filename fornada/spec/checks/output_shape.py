"""Refuses a model whose output is not a list of numbers for each image: one for each class.

Every loss of a spec needs an output of shape (batch, classes), or (batch, 1) with label_mode
binary. The trainer compares the exact shape when it builds the model; this check finds, without
Keras, what the layers alone tell. A shape that is not known here is left to the trainer.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from fornada.spec.catalogue import losses
from fornada.spec.checks import sizes
from fornada.spec.checks.draft import Draft
from fornada.spec.kinds.reading import At
from fornada.spec.values import CLASSES, KerasObject

# Shape of a layer's output for one image. A size is "classes" where the number of classes decides
# it, and None where it is not known. The whole shape is None if its number of axes is not known.
Axes: TypeAlias = "tuple[int | str | None, ...] | None"
# Layers with an argument that gives the size of the last axis, and the argument.
_GIVE_CHANNELS = {"Conv2D": "filters", "Dense": "units", "SeparableConv2D": "filters"}


def check(draft: Draft, image: tuple[int, ...], at: At, classes: int | None = None) -> None:
    """Refuse an output whose shape does not fit the loss.

    Where the last layer with a size is a Dense, only the number of axes is looked at: another check
    compares its units.

    Args:
        draft: model and loss must have no problem.
        image: height, width and channels of an image.
        at: the root of the reading.
        classes: number of classes in the data; None if it is not known yet.
    """
    if draft.loss is None or not draft.model:
        return
    axes = list(_followed(draft.model, image))
    output, head = axes[-1], draft.head or draft.model[-1]
    binary = losses.LABEL_MODES[draft.loss.class_name] == "binary"
    if output is None or _fits(output, head, classes, binary=binary):
        return
    wanted = 1 if binary else classes or CLASSES
    at.place_of(head).refuse(
        None,
        f"the model gives an output of shape {_written(output)} for an image, and "
        f"{draft.loss.class_name} needs {_written((wanted,))}.\n"
        f"  Expected {_remedy(draft.model, [image, *axes], head, 1 if binary else CLASSES)}.",
        sizes.IMPOSSIBLE,
    )


def _fits(
    output: Sequence[int | str | None], head: KerasObject, classes: int | None, *, binary: bool
) -> bool:
    if len(output) != 1:
        return False
    (count,) = output
    if head.class_name == "Dense" or count is None:
        return True
    if binary:
        return count == 1
    # With one output for several classes, every image gets the same answer.
    return count == CLASSES or (count == classes if classes else count != 1)


def _followed(model: Iterable[KerasObject], image: tuple[int, ...]) -> Iterator[Axes]:
    """The shape of each layer's output, from first to last."""
    before: Axes = image
    sizes_before: sizes.Shape = image
    for layer in model:
        sizes_before = sizes.after(layer, sizes_before)
        before = _axes(layer, before, sizes_before)
        yield before


def _axes(layer: KerasObject, before: Axes, counted: sizes.Shape) -> Axes:
    """The shape after a layer.

    Args:
        layer: the layer.
        before: the shape of its input.
        counted: the shape after it, in which "classes" counts as 1.
    """
    name, arguments = layer.class_name, layer.arguments
    if counted is None:
        return None
    if name in _GIVE_CHANNELS:
        others = before if name == "Dense" and before else counted
        return (*others[:-1], _size(arguments[_GIVE_CHANNELS[name]]))
    if before is not None and all(isinstance(size, int) for size in before):
        return counted
    if name == "Reshape":
        target = arguments["target_shape"]
        assert isinstance(target, tuple)  # noqa: S101  (a list is kept as a tuple)
        return tuple(None if one == -1 else _size(one) for one in target)
    if name == "Flatten":
        return before if before is not None and len(before) == 1 else (None,)
    # Of the other layers, these change the axes before the last one.
    windowed = name.endswith(("Pooling2D", "Padding2D"))
    return (*counted[:-1], before[-1]) if before and windowed else before


def _size(value: object) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _remedy(
    model: Sequence[KerasObject], axes: Sequence[Axes], head: KerasObject, units: int | str
) -> str:
    """What to write instead.

    Args:
        model: the layers.
        axes: the shape of the images, then of each layer's output.
        head: the layer that decides the shape of the output.
        units: how many outputs the loss needs.
    """
    last = f"Dense: {{units: {units}}}"
    output = axes[-1] or ()
    if head.class_name == "Dense":
        place = _first_dense_on_several_axes(model, axes)
        # Global pooling needs height, width and channels.
        input_ = axes[place] or ()
        pooling = ", GlobalAveragePooling2D or GlobalMaxPooling2D" if len(input_) == 3 else ""
        return f"Flatten{pooling} before model.{place}.Dense"
    if head.arguments.get("keepdims") is True:
        return "keepdims: false"
    if head.class_name == "Reshape":
        return f"no Reshape after {last}"
    if head.class_name in _GIVE_CHANNELS and output[-1] == units:
        return f"GlobalAveragePooling2D after it, or Flatten and {last}"
    return f"{'Flatten and ' if len(output) > 1 else ''}{last} after it"


def _first_dense_on_several_axes(model: Sequence[KerasObject], axes: Sequence[Axes]) -> int:
    """Index of the first Dense after which the output still has several axes."""
    first = len(model)
    for index in range(len(model) - 1, -1, -1):
        before = axes[index]
        if before is None or len(before) < 2:
            break
        if model[index].class_name == "Dense":
            first = index
    return first


def _written(axes: Sequence[int | str | None]) -> str:
    """`(13, 13, classes)`, as Keras writes a shape."""
    inner = ", ".join("?" if size is None else str(size) for size in axes)
    return f"({inner},)" if len(axes) == 1 else f"({inner})"
