"""Builds and compiles the spec's model, after computing its size without allocating anything."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import KerasObject, Spec
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.model import axes
from fornada.worker.trainer.model.keras_objects import make, reason
from fornada.worker.trainer.model.ranks import unfit
from fornada.worker.trainer.model.trial import REFUSALS, WRAPPED, refused_layer, refused_measure
from fornada.worker.trainer.process import memory_room, reset
from fornada.worker.trainer.process.memory_room import MemoryRoom

_FLOAT_BYTES = 4
# Length of the variable with which `_copies` asks an optimizer what it keeps. No optimizer keeps a
# variable of this length for itself.
_PROBE = 7


@dataclass(frozen=True)
class ModelSize:
    """The size of a model, computed before it is allocated.

    Attributes:
        parameters: number of parameters of all layers, trainable or not.
        training_bytes: bytes of the parameters with their gradients, the optimizer's state, the
            copy of both that is saved, and the copy that is the best model. Less than training
            takes at its height: an optimizer's step needs some more for a moment.
        largest_output_bytes: bytes of the largest output of a layer for one batch.
        output_shape: shape of the model's output without the batch.
    """

    parameters: int
    training_bytes: int
    largest_output_bytes: int
    output_shape: tuple[int, ...]


def build(
    spec: Spec,
    input_shape: tuple[int, int, int],
    classes: int,
    settings: Settings,
    room: MemoryRoom | None = None,
) -> keras.Sequential:
    """Seed the random numbers with the spec's seed, then build and compile the model.

    Args:
        spec: with `classes` resolved.
        input_shape: height, width and channels of an image.
        classes: number of classes in the data.
        settings: its limits.
        room: as for `compute_size`.

    Raises:
        TrainingFailed: MODEL_INVALID with Keras's reason, or RESOURCE_LIMIT.
    """
    size = compute_size(spec, input_shape, settings, room)
    check_output(spec, size.output_shape, classes)
    keras.config.set_dtype_policy(spec.fit.precision)
    # `compute_size` used random numbers too, so the seed must come after it. Then a plain script
    # that sets this seed and builds the same layers gets the same weights.
    reset.seed(spec.data.seed)
    layers = [layer for _, layer in _layers(spec)]
    try:
        model = keras.Sequential([keras.Input(input_shape, name=_input_name(spec)), *layers])
    except REFUSALS as error:
        # Keras creates the weights here, and the values of an initializer may not fit.
        if found := refused_layer(_layers(spec), input_shape):
            raise found from error
        # No layer alone is refused, so the error is between layers: two have the same name.
        raise TrainingFailed(FailureCode.MODEL_INVALID, f"model: {reason(error)}") from error
    model.compile(
        optimizer=make(spec.compile.optimizer, f"compile.{spec.compile.optimizer.class_name}"),
        loss=make(spec.compile.loss, f"compile.{spec.compile.loss.class_name}"),
        metrics=[make(metric, f"compile.{metric.class_name}") for metric in spec.compile.metrics],
    )
    return model


def check_shapes(spec: Spec, model: keras.Model, example: tuple[Any, ...]) -> None:
    """Pass the shapes of one batch through the model, its loss and its metrics.

    Args:
        spec: with `classes` resolved.
        model: from `build`; afterwards it has all of its variables.
        example: one batch: images, targets, and weights if the spec has class weights.

    Raises:
        TrainingFailed: MODEL_INVALID, naming the part that Keras refuses.
    """
    _refuse_in_16_bits(spec)
    try:
        model._symbolic_build(data_batch=example)
    except WRAPPED as error:
        if found := refusal(spec, model, example):
            raise found from error
        # No part alone is refused, so the error is between parts.
        raise TrainingFailed(FailureCode.MODEL_INVALID, f"model: {reason(error)}") from error
    # Keras first calls constraints, and regularizers of outputs, in a training step. So
    # `_symbolic_build` does not notice a wrong one.
    if any(_is_late(layer) for layer in model.layers) and (found := refusal(spec, model, example)):
        raise found


def refusal(spec: Spec, model: keras.Model, example: tuple[Any, ...]) -> TrainingFailed | None:
    """Find the part of a model that Keras refuses; None if it refuses no part alone.

    Args:
        spec: with `classes` resolved.
        model: from `build`.
        example: one batch, as for `check_shapes`.
    """
    images, *others = example
    output = keras.KerasTensor((len(images), *model.output_shape[1:]), model.outputs[0].dtype)
    return refused_layer(_layers(spec), images.shape[1:]) or refused_measure(spec, output, others)


def _refuse_in_16_bits(spec: Spec) -> None:
    """Refuse regularizers of 16-bit outputs: TensorFlow cannot add them to the 32-bit loss."""
    if spec.fit.precision == "float32" or keras.backend.backend() != "tensorflow":
        return
    for index, item in enumerate(spec.model):
        if item.arguments.get("activity_regularizer") is not None:
            raise TrainingFailed(
                FailureCode.MODEL_INVALID,
                f"model.{index}.{item.class_name}.activity_regularizer: TensorFlow cannot add it "
                f"to the loss with fit.precision: {spec.fit.precision}. Use float32, or leave it "
                "out.",
            )


def _is_late(layer: Any) -> bool:
    constraints = (getattr(weight, "constraint", None) for weight in layer.weights)
    return bool(getattr(layer, "activity_regularizer", None) or any(constraints))


def compute_size(
    spec: Spec,
    input_shape: tuple[int, int, int],
    settings: Settings,
    room: MemoryRoom | None = None,
) -> ModelSize:
    """Compute the size of a model by passing shapes through its layers, without allocating memory.

    Args:
        spec: with `classes` resolved.
        input_shape: height, width and channels of an image.
        settings: its `max_parameters` is the limit.
        room: memory that the training may take; None for all that this process can have.

    Raises:
        TrainingFailed: MODEL_INVALID when the shapes do not fit; RESOURCE_LIMIT.
    """
    parameters, largest = 0, 0
    room = room or memory_room.at_most()
    copies = _copies(spec)
    with keras.StatelessScope(initialize_variables=False):
        flow = keras.KerasTensor((None, *input_shape))
        for where, layer in _layers(spec):
            axes.check(layer, len(flow.shape), where)
            if why := unfit(layer, tuple(flow.shape[1:])):
                raise TrainingFailed(FailureCode.MODEL_INVALID, f"{where}: {why}")
            try:
                flow = layer(flow)
            except REFUSALS as error:
                message = f"{where}: {reason(error)}"
                raise TrainingFailed(FailureCode.MODEL_INVALID, message) from error
            parameters += int(layer.count_params())
            largest = max(largest, spec.data.batch_size * math.prod(flow.shape[1:]))
            needed = (parameters * copies + largest) * _FLOAT_BYTES
            _check_size(where, parameters, needed, settings, room)
    # Drop the trial's variables, which must never be allocated, and free the names of its layers.
    reset.forget()
    return ModelSize(
        parameters=parameters,
        training_bytes=parameters * _FLOAT_BYTES * copies,
        largest_output_bytes=largest * _FLOAT_BYTES,
        output_shape=tuple(flow.shape[1:]),
    )


def check_output(spec: Spec, output_shape: tuple[int, ...], classes: int) -> None:
    """Compare the output of the last layer with the output that the loss needs.

    Raises:
        TrainingFailed: MODEL_INVALID, saying which output is expected.
    """
    expected = (1,) if spec.data.label_mode == "binary" else (classes,)
    if output_shape == expected:
        return
    last = f"model.{len(spec.model) - 1}.{spec.model[-1].class_name}"
    raise TrainingFailed(
        FailureCode.MODEL_INVALID,
        f"{last}: the model gives an output of shape {output_shape} for an image; "
        f"{classes} classes with label_mode {spec.data.label_mode} and "
        f"{spec.compile.loss.class_name} need {expected}. {_advice(output_shape, expected)}",
    )


def _advice(output_shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(output_shape) > 1 and output_shape[-1:] == expected:
        return "Put Flatten or GlobalAveragePooling2D before the last Dense."
    return f"Let the model end with Dense: {{units: {'1' if expected == (1,) else 'classes'}}}."


def _copies(spec: Spec) -> int:
    """How many numbers training holds for each parameter, as `ModelSize.training_bytes` counts."""
    where = f"compile.{spec.compile.optimizer.class_name}"
    optimizer = make(spec.compile.optimizer, where)
    optimizer.build([keras.Variable("zeros", shape=(_PROBE,))])
    of_optimizer = sum(tuple(each.shape) == (_PROBE,) for each in optimizer.variables)
    parameter_and_gradient, best_model = 2, 1
    saved = 1 + of_optimizer
    return parameter_and_gradient + of_optimizer + saved + best_model


def _check_size(
    where: str, parameters: int, needed: int, settings: Settings, room: MemoryRoom
) -> None:
    if parameters > settings.max_parameters:
        raise TrainingFailed(
            FailureCode.RESOURCE_LIMIT,
            f"{where}: the model reaches {parameters:,} parameters here; "
            f"this worker accepts {settings.max_parameters:,} (FORNADA_MAX_PARAMETERS).",
        )
    # When TensorFlow reaches a limit of memory, it ends the process without a message.
    if needed > room.bytes:
        raise TrainingFailed(
            FailureCode.RESOURCE_LIMIT,
            f"{where}: training would need {needed:,} bytes here; {room.whose} {room.bytes:,}. "
            "Make batch_size or the model smaller.",
        )


def _layers(spec: Spec) -> list[tuple[str, Any]]:
    """New layers, each with its name in messages."""
    layers: list[tuple[str, Any]] = []
    for index, item in enumerate(spec.model):
        where = f"model.{index}.{item.class_name}"
        if item.class_name == "Input":
            # Its shape has been checked when the spec was read. `build` uses its name.
            continue
        if item.class_name == "MinPooling2D":
            layers += [(where, layer) for layer in _min_pooling(item, where)]
        else:
            layers.append((where, make(item, where)))
    return layers


def _input_name(spec: Spec) -> str | None:
    """Name that the spec gives the model's input; None lets Keras choose one."""
    names = (item.arguments["name"] for item in spec.model if item.class_name == "Input")
    name = next(names, None)
    return None if name is None else str(name)


def _min_pooling(item: KerasObject, where: str) -> list[Any]:
    """Compute the minimum as the negated maximum of the negated values.

    Keras's own layers do this, so the saved model loads without Fornada.
    """
    pooling = make(KerasObject("MaxPooling2D", item.arguments), where)
    return [keras.layers.Rescaling(-1.0), pooling, keras.layers.Rescaling(-1.0)]
