"""Checks the axes that a layer computes along.

Keras treats the batch as an axis like any other. A softmax along it would mix the images of a
batch.
"""

from collections.abc import Iterator
from typing import Any

from fornada.db.states import FailureCode
from fornada.worker.trainer.failures import TrainingFailed


def check(layer: Any, rank: int, where: str) -> None:
    """Check that the axes of a layer and of its activation exist and are not the batch.

    Args:
        layer: a Keras layer that is not built yet.
        rank: number of axes of its input, including the batch.
        where: name of the layer in messages, such as `model.3.Dense`.

    Raises:
        TrainingFailed: MODEL_INVALID, naming the possible axes.
    """
    for axes in _axes_of(layer):
        places = [axis % rank if -rank <= axis < rank else 0 for axis in axes]
        # Place 0 is the batch; it also stands for an axis that does not exist.
        if 0 in places or len(set(places)) < len(places):
            written = ", ".join(map(str, axes))
            there_are = ", ".join(map(str, [*range(1, rank), *range(1 - rank, 0)]))
            raise TrainingFailed(
                FailureCode.MODEL_INVALID,
                f"{where}: axis {written} does not fit: the values here have {rank} axes, and the "
                f"first is the batch. Give each axis once, of: {there_are}.",
            )


def _axes_of(layer: Any) -> Iterator[list[int]]:
    # An activation with arguments is a layer of its own.
    for owner in (layer, getattr(layer, "activation", None)):
        axis = getattr(owner, "axis", None)
        if axis is not None:
            yield [axis] if isinstance(axis, int) else list(axis)
