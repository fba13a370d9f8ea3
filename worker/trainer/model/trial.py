"""Finds the part of a model that Keras refuses, by passing shapes through each part alone.

Keras finds most of it out while it traces the first step, and then names an operation of the
backend instead of the layer or metric of the spec.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from keras.src import backend
from numpy.typing import NDArray

from fornada.db.states import FailureCode
from fornada.spec import KerasObject, Spec
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.model.keras_objects import METRIC_FUNCTIONS, make, reason

# What Keras and its backends raise where shapes and arguments do not fit.
REFUSALS: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    IndexError,
    NotImplementedError,
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
)
# And what Keras wraps some of these in.
WRAPPED: tuple[type[Exception], ...] = (*REFUSALS, RuntimeError)
# A part of a model: how a failure calls it, and its work with shapes alone.
Part: TypeAlias = tuple[str, Callable[[], object]]


def blank_batch(
    spec: Spec, input_shape: tuple[int, ...], classes: int
) -> tuple[NDArray[np.float32], ...]:
    """One image of nothing, with its target, and its weight where the spec weighs classes.

    Args:
        spec: its label mode.
        input_shape: of an image.
        classes: how many the data has.
    """
    outputs = {"binary": (1,), "categorical": (classes,), "int": ()}[spec.data.label_mode]
    shapes = [input_shape, outputs, *([()] if spec.fit.class_weight else [])]
    return tuple(np.zeros((1, *shape), np.float32) for shape in shapes)


def refused_layer(
    layers: Iterable[tuple[str, Any]], input_shape: tuple[int, ...]
) -> TrainingFailed | None:
    """The first layer that Keras refuses; None where it refuses none alone.

    Args:
        layers: fresh, each with the name under which a failure speaks of it.
        input_shape: of an image.
    """
    # No weight is allocated a second time.
    with keras.StatelessScope(initialize_variables=False):
        return _first(_of_layers(layers, keras.KerasTensor((None, *input_shape))))


def refused_measure(
    spec: Spec, output: keras.KerasTensor, others: Iterable[Any]
) -> TrainingFailed | None:
    """The loss or the first metric that Keras refuses; None where it refuses none alone.

    Args:
        spec: with `classes` resolved.
        output: of the model for a batch.
        others: of a batch: targets, and weights where the spec weighs classes.
    """
    targets, *weights = (keras.KerasTensor(array.shape, str(array.dtype)) for array in others)
    return _first(_of_compile(spec, (targets, output, *weights)))


def _first(parts: Iterable[Part]) -> TrainingFailed | None:
    for where, work in parts:
        try:
            work()
        except REFUSALS as error:
            message = f"{where}: {reason(error)}"
            failed = TrainingFailed(FailureCode.MODEL_INVALID, message)
            failed.__cause__ = error
            return failed
    return None


def _of_layers(layers: Iterable[tuple[str, Any]], flow: Any) -> Iterator[Part]:
    for where, layer in layers:
        given, given_to = flow, layer
        outputs: list[Any] = []
        yield where, lambda: outputs.append(given_to(given))  # noqa: B023 - called at once
        (flow,) = outputs
        how = {"training": True} if layer._call_has_training_arg else {}
        yield where, lambda: _trace(given_to, given, **how)  # noqa: B023 - called at once
        yield from _of_weights(where, layer)


def _of_weights(where: str, layer: Any) -> Iterator[Part]:
    """The regularizers and constraints of a layer's weights."""
    for weight in layer.weights:
        shape = keras.KerasTensor(weight.shape)
        for kind in ("regularizer", "constraint"):
            if function := getattr(weight, kind, None):
                place = f"{where}.{weight.name}_{kind}.{type(function).__name__}"
                yield place, lambda: _trace(function, shape)  # noqa: B023 - called at once


def _of_compile(spec: Spec, batch: tuple[Any, ...]) -> Iterator[Part]:
    for metric in spec.compile.metrics:
        if metric.class_name not in METRIC_FUNCTIONS:
            yield _place(metric), lambda: _measure(metric, *batch)  # noqa: B023 - called at once
    loss = spec.compile.loss
    yield _place(loss), lambda: _trace(make(loss, _place(loss)), *batch)


def _measure(metric: KerasObject, *batch: Any) -> None:
    made = make(metric, _place(metric))

    def measure(*batch: Any) -> Any:
        made.update_state(*batch)
        return made.result()

    _trace(measure, *batch)


def _trace(call: Callable[..., Any], *shapes: Any, **how: Any) -> Any:
    return backend.compute_output_spec(call, *shapes, **how)


def _place(item: KerasObject) -> str:
    return f"compile.{item.class_name}"
