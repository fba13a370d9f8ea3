"""The axes that a layer computes along, compared with those that its values have.

Keras takes the batch for an axis like any other: a softmax along it mixes the images of a batch.
"""

from collections.abc import Iterator
from typing import Any

from fornada.db.states import FailureCode
from fornada.worker.trainer.failures import TrainingFailed


def check(layer: Any, rank: int, where: str) -> None:
    """Compare a layer's axes, and those of its activation, with what it is given.

    Args:
        layer: of Keras, not built yet.
        rank: axes of its values, the batch among them.
        where: what a failure calls it, `model.3.Dense`.

    Raises:
        TrainingFailed: MODEL_INVALID, naming the axes that there are.
    """
    for axes in _given(layer):
        places = [axis % rank if -rank <= axis < rank else 0 for axis in axes]
        # The batch comes first, and an axis that does not exist is none either.
        if 0 in places or len(set(places)) < len(places):
            written = ", ".join(map(str, axes))
            there_are = ", ".join(map(str, [*range(1, rank), *range(1 - rank, 0)]))
            raise TrainingFailed(
                FailureCode.MODEL_INVALID,
                f"{where}: axis {written} does not fit: the values here have {rank} axes, and the "
                f"first is the batch. Give each axis once, of: {there_are}.",
            )


def _given(layer: Any) -> Iterator[list[int]]:
    # An activation that has arguments is a layer of its own.
    for owner in (layer, getattr(layer, "activation", None)):
        axis = getattr(owner, "axis", None)
        if axis is not None:
            yield [axis] if isinstance(axis, int) else list(axis)
