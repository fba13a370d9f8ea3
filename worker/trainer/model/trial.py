"""Finds the part of a model that Keras refuses, by passing shapes through each part alone.

Keras finds most of these errors when it traces the first step. Then its message names an operation
of the backend, not the layer or metric of the spec.
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

# Exceptions of Keras and its backends when shapes and arguments do not fit.
REFUSALS: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    IndexError,
    NotImplementedError,
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
)
# Keras wraps some of these in a RuntimeError.
WRAPPED: tuple[type[Exception], ...] = (*REFUSALS, RuntimeError)
# A part of a model: its name in messages, and a function that passes shapes through it.
Part: TypeAlias = tuple[str, Callable[[], object]]


def blank_batch(
    spec: Spec, input_shape: tuple[int, ...], classes: int
) -> tuple[NDArray[np.float32], ...]:
    """One image of zeros with its target, and its weight if the spec has class weights.

    Args:
        spec: its label mode.
        input_shape: shape of an image.
        classes: number of classes in the data.
    """
    outputs = {"binary": (1,), "categorical": (classes,), "int": ()}[spec.data.label_mode]
    shapes = [input_shape, outputs, *([()] if spec.fit.class_weight else [])]
    return tuple(np.zeros((1, *shape), np.float32) for shape in shapes)


def refused_layer(
    layers: Iterable[tuple[str, Any]], input_shape: tuple[int, ...]
) -> TrainingFailed | None:
    """The first layer that Keras refuses; None if it refuses no layer alone.

    Args:
        layers: new layers, each with its name in messages.
        input_shape: shape of an image.
    """
    # In this scope Keras allocates no weights.
    with keras.StatelessScope(initialize_variables=False):
        return _first_refused(_layer_parts(layers, keras.KerasTensor((None, *input_shape))))


def refused_measure(
    spec: Spec, output: keras.KerasTensor, others: Iterable[Any]
) -> TrainingFailed | None:
    """The first metric, or the loss, that Keras refuses; None if it refuses none of them alone.

    Args:
        spec: with `classes` resolved.
        output: the model's output for a batch.
        others: targets of the batch, and weights if the spec has class weights.
    """
    targets, *weights = (keras.KerasTensor(array.shape, str(array.dtype)) for array in others)
    return _first_refused(_compile_parts(spec, (targets, output, *weights)))


def _first_refused(parts: Iterable[Part]) -> TrainingFailed | None:
    for where, work in parts:
        try:
            work()
        except REFUSALS as error:
            message = f"{where}: {reason(error)}"
            failed = TrainingFailed(FailureCode.MODEL_INVALID, message)
            failed.__cause__ = error
            return failed
    return None


def _layer_parts(layers: Iterable[tuple[str, Any]], flow: Any) -> Iterator[Part]:
    for where, layer in layers:
        given, given_to = flow, layer
        outputs: list[Any] = []
        yield where, lambda: outputs.append(given_to(given))  # noqa: B023 - called at once
        (flow,) = outputs
        how = {"training": True} if layer._call_has_training_arg else {}
        yield where, lambda: _trace(given_to, given, **how)  # noqa: B023 - called at once
        yield from _weight_parts(where, layer)


def _weight_parts(where: str, layer: Any) -> Iterator[Part]:
    """The regularizers and constraints of a layer's weights."""
    for weight in layer.weights:
        shape = keras.KerasTensor(weight.shape)
        for kind in ("regularizer", "constraint"):
            if function := getattr(weight, kind, None):
                place = f"{where}.{weight.name}_{kind}.{type(function).__name__}"
                yield place, lambda: _trace(function, shape)  # noqa: B023 - called at once


def _compile_parts(spec: Spec, batch: tuple[Any, ...]) -> Iterator[Part]:
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
