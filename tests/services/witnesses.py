"""Where each argument of the catalogue is seen to act: values to change it to, and what it needs.

Most values come from the kind of the argument. The tables below hold the rest: what has no
default, other arguments that an argument needs to act, and a value that shows more than the
generated one. `test_arguments.py` says which table a new argument is missing in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.activations import Activation
from fornada.spec.catalogue.layers import Factor, Margins
from fornada.spec.catalogue.losses import LABEL_MODES as LOSSES
from fornada.spec.catalogue.metrics import LABEL_MODES as METRICS
from fornada.spec.catalogue.objects import Object
from fornada.spec.kinds.compound import Either, Nullable, Pair
from fornada.spec.kinds.fields import Field
from fornada.spec.kinds.kind import Kind
from fornada.spec.kinds.plain import Boolean, Choice, Integer, Number, Verbosity
from fornada.spec.kinds.text import Label
from tests.services.observing import NUMBERS, SAVED
from tests.services.trainer_jobs import document

# What has no default, filled in so that one of each can be built.
REQUIRED: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "relu"},
    "AveragePooling2D": {"pool_size": 2},
    "Conv2D": {"filters": 2, "kernel_size": 3},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "Dense": {"units": 2},
    "Dropout": {"rate": 0.5},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.9},
    "Input": {"shape": [6, 6, 3]},
    "Normalization": {"mean": 1.0, "variance": 2.0},
    "PiecewiseConstantDecay": {"boundaries": [5], "values": [0.1, 0.01]},
    "RandomContrast": {"factor": 0.2},
    "RandomRotation": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"target_shape": [-1]},
    "SeparableConv2D": {"filters": 2, "kernel_size": 3},
    "SpatialDropout2D": {"rate": 0.5},
}


def _model(*layers: Any, units: Any = "classes", activation: str = "softmax") -> list[Any]:
    return [*layers, "Flatten", {"Dense": {"units": units, "activation": activation}}]


@dataclass(frozen=True)
class Where:
    """Where an argument is seen to act.

    Attributes:
        beside: other arguments of the same object.
        before: the argument's own value, where its default does not show it.
        values: what it is changed to; None: what its kind generates.
        shows: names of `observe`, one of which has to differ.
        changes: sections and fields of the spec, as `document` takes them.
        refused: values that Keras takes and a spec does not.
        same: values that mean the same as another one, and that one.
    """

    beside: Mapping[str, Any] = field(default_factory=dict)
    before: Any = None
    values: tuple[Any, ...] | None = None
    shows: frozenset[str] = NUMBERS
    changes: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[Any, ...] = ()
    same: Mapping[Any, Any] = field(default_factory=dict)


_AVERAGES = "the files hold the averages: test_checkpoints.py"
# What others show: each with where.
SHOWN_ELSEWHERE: dict[tuple[str, str], str] = {
    ("AUC", "num_labels"): "says how many outputs there are; any other number is refused",
    ("SwapEMAWeights", "swap_on_epoch"): f"true is its only value; {_AVERAGES}",
    ("Adam", "use_ema"): _AVERAGES,
    ("AdamW", "use_ema"): _AVERAGES,
    ("RMSprop", "use_ema"): _AVERAGES,
    ("SGD", "use_ema"): _AVERAGES,
}
# By class and argument, by family and argument, or by argument alone.
WHERE: dict[tuple[str, str] | str, Where] = {
    "name": Where(shows=SAVED, values=("other",)),
    ("metrics", "name"): Where(shows=frozenset({"reported"})),
    # A layer without weights only says so in the saved model.
    "trainable": Where(shows=SAVED),
    "data_format": Where(values=(), refused=("channels_first",)),
    ("Conv2D", "groups"): Where({"filters": 6}, values=(3,)),
    ("Input", "shape"): Where(values=(), refused=([6, 6, 1],)),
    ("Normalization", "axis"): Where(
        {"mean": list(range(6)), "variance": [1] * 6}, before=1, values=(2,)
    ),
    ("Rescaling", "scale"): Where(values=(2, [1, 2, 3])),
    ("Dropout", "noise_shape"): Where(values=([None, 1, 1, None],)),
    ("Reshape", "target_shape"): Where(values=([3, -1],)),
    ("LayerNormalization", "axis"): Where(values=(1, [1, 2])),
    ("BatchNormalization", "axis"): Where(values=(1,)),
    ("BatchNormalization", "renorm_momentum"): Where({"renorm": True}),
    ("ReLU", "max_value"): Where(values=(0.5,)),
    ("relu", "max_value"): Where(values=(0.5,)),
    ("RandomRotation", "fill_value"): Where({"fill_mode": "constant"}),
    ("RandomTranslation", "fill_value"): Where({"fill_mode": "constant"}),
    ("RandomZoom", "fill_value"): Where({"fill_mode": "constant"}),
    ("RandomContrast", "value_range"): Where(values=([0, 1],)),
    ("MaxPooling2D", "strides"): Where(values=(1,)),
    ("MinPooling2D", "strides"): Where(values=(1,)),
    ("AveragePooling2D", "strides"): Where(values=(1,)),
    ("MaxPooling2D", "padding"): Where({"pool_size": 4}),
    ("MinPooling2D", "padding"): Where({"pool_size": 4}),
    ("AveragePooling2D", "padding"): Where({"pool_size": 4}),
    ("RandomZoom", "fill_mode"): Where({"height_factor": 0.9}),
    ("Rescaling", "offset"): Where(values=(1, [1, 2, 3])),
    ("Normalization", "mean"): Where(values=(2,)),
    ("Normalization", "variance"): Where(values=(3,)),
    ("RandomUniform", "maxval"): Where(values=(0.5,)),
    ("MaxNorm", "max_value"): Where(before=0.1, values=(0.2,)),
    ("MaxNorm", "axis"): Where({"max_value": 0.1}, values=(1, [0, 1])),
    ("UnitNorm", "axis"): Where(values=(1, [0, 1])),
    ("MinMaxNorm", "min_value"): Where({"max_value": 9}, values=(8,)),
    ("MinMaxNorm", "max_value"): Where(values=(0.1,)),
    ("MinMaxNorm", "rate"): Where({"max_value": 0.1}),
    ("MinMaxNorm", "axis"): Where({"max_value": 0.1}, values=(1, [0, 1])),
    ("SGD", "nesterov"): Where({"momentum": 0.9}),
    ("Adam", "amsgrad"): Where({"beta_2": 0.1}),
    ("AdamW", "amsgrad"): Where({"beta_2": 0.1}),
    "epsilon": Where(values=(0.5,)),
    "clipnorm": Where(values=(1e-6,)),
    "clipvalue": Where(values=(1e-6,)),
    "global_clipnorm": Where(values=(1e-6,)),
    "weight_decay": Where(values=(0.5,)),
    # As large as what a float32 gradient keeps apart from 0: only then does it change a number.
    "loss_scale_factor": Where(values=(1e-44,)),
    "ema_momentum": Where({"use_ema": True, "ema_overwrite_frequency": 2}, values=(0.5,)),
    "ema_overwrite_frequency": Where({"use_ema": True}, values=(2,)),
    ("CosineDecay", "warmup_target"): Where(values=(0.5,)),
    ("CosineDecay", "warmup_steps"): Where({"warmup_target": 0.5}, values=(2,)),
    ("ExponentialDecay", "staircase"): Where({"decay_steps": 2}),
    ("PiecewiseConstantDecay", "boundaries"): Where(before=[1], values=([3],)),
    ("PiecewiseConstantDecay", "values"): Where(
        {"boundaries": [1]}, values=([0.2, 0.01], [0.1, 0.05])
    ),
    ("Constant", "value"): Where(values=(1, [1, 2, 3, 4])),
    ("SparseCategoricalCrossentropy", "ignore_class"): Where(values=(1,), refused=(-1,)),
    "reduction": Where(
        changes={"fit__class_weight": {"0": 2}}, same={"mean": "sum_over_batch_size"}
    ),
    # Behind a softmax Keras finds the logits by itself.
    ("losses", "from_logits"): Where(changes={"model": _model(activation="linear")}),
    ("BinaryCrossentropy", "from_logits"): Where(
        changes={"model": _model(units=1, activation="linear")}
    ),
    # The batch is no axis to compute along, and there are no others.
    ("losses", "axis"): Where(values=(1,), same={"1": -1}, refused=(-2, 2)),
    ("SparseTopKCategoricalAccuracy", "k"): Where(values=(1,)),
    ("SparseTopKCategoricalAccuracy", "from_sorted_ids"): Where(values=(), refused=(True,)),
    ("AUC", "thresholds"): Where(values=([0.5],)),
    ("AUC", "num_labels"): Where({"multi_label": True}, values=(3,)),
    ("AUC", "label_weights"): Where({"multi_label": True}, values=([1, 0, 0],)),
    ("AUC", "num_thresholds"): Where(values=(3,)),
    "thresholds": Where(values=(0.9, [0.1]), refused=([0.1, 0.9],)),
    "top_k": Where(values=(2,)),
    "class_id": Where(values=(1,)),
    ("BinaryAccuracy", "threshold"): Where(values=(0.9,)),
}
# What stops an argument, where the default of the argument that decides lets it act.
STOPS: dict[tuple[str, str], Any] = {
    **{
        (name, f"bias_{what}"): False
        for name in ("Conv2D", "SeparableConv2D", "Dense")
        for what in ("initializer", "regularizer", "constraint")
    },
    **{
        (name, f"{weight}_{what}"): False
        for name in ("BatchNormalization", "LayerNormalization")
        for weight in ("beta", "gamma")
        for what in ("initializer", "regularizer", "constraint")
    },
    ("AUC", "num_thresholds"): [0.5],
}
# What another object of a family is, where an argument takes one.
_OBJECTS: dict[str, list[Any]] = {
    # One that draws no number: a seed that nobody uses would move those of the layers behind.
    "initializers": [{"Constant": {"value": 0.5}}],
    "regularizers": [{"L2": {"l2": 0.5}}],
    "constraints": [{"MaxNorm": {"max_value": 1e-3}}],
    "schedules": [{"ExponentialDecay": REQUIRED["ExponentialDecay"]}],
}


def where(family: str, class_name: str, argument: str) -> Where:
    """The entry of an argument: its own, or that of its family, or that of all classes."""
    keys = ((class_name, argument), (family, argument), argument)
    here = next((WHERE[key] for key in keys if key in WHERE), Where())
    weights = any(name.endswith("_initializer") for name in _fields(family, class_name))
    if argument == "trainable" and weights:
        return replace(here, shows=NUMBERS)
    return here


def _fields(family: str, class_name: str) -> Mapping[str, Field]:
    return FAMILIES[family].arguments[class_name].fields


def values_of(family: str, class_name: str, argument: str) -> tuple[Any, list[Any]]:
    """A value of an argument, and what it is changed to.

    Raises:
        KeyError: no other value is known for its kind.
    """
    here, its = where(family, class_name, argument), _fields(family, class_name)[argument]
    before = here.before
    if before is None:
        before = REQUIRED.get(class_name, {}).get(argument, its.default)
    return before, others(its.kind, before) if here.values is None else list(here.values)


def others(kind: Kind, before: Any) -> list[Any]:
    """Values of a kind beside `before`, as a spec writes them: every choice, or one other value.

    Raises:
        KeyError: none is known for the kind.
    """
    if isinstance(kind, Nullable):
        return [*([] if before is None else [None]), *others(kind.kind, before)]
    if isinstance(kind, Either):
        return [value for one in kind.kinds for value in others(one, before)]
    if isinstance(kind, Pair):
        return others(kind.kind, before[0] if isinstance(before, list) else before)
    if isinstance(kind, Object):
        return _OBJECTS[kind.family.name]
    if isinstance(kind, Choice):
        return [choice for choice in kind.choices if choice != before]
    return [value for value in _SIMPLE[type(kind)](kind) if value != before][:1]


def _integers(kind: Integer) -> list[int]:
    low = max(kind.minimum, 1)
    return [number for number in (low + 1, low + 2) if number <= kind.maximum]


def _numbers(kind: Number) -> list[float]:
    low = next((bound for bound in (kind.minimum, kind.above) if bound is not None), -1.0)
    high = next((bound for bound in (kind.maximum, kind.below) if bound is not None), low + 1)
    return [low + (high - low) * 0.6]


_SIMPLE: dict[type[Kind], Any] = {
    Boolean: lambda _: [False, True],
    Verbosity: lambda _: [0, 1],
    Integer: _integers,
    Number: _numbers,
    Activation: lambda _: ["tanh"],
    Factor: lambda _: [0.4],
    Margins: lambda _: [[[1, 0], [0, 2]]],
    Label: lambda _: ["other"],
}


def whole(family: str, item: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A spec in which one object of a family acts.

    Args:
        item: as a spec writes it.
        changes: beside it, as `document` takes them.
    """
    size = {"data__image_size": [6, 6], "data__batch_size": 9}
    return document(**{**size, **_PLACES[family](item), **changes})


def _dense(argument: str) -> Any:
    return lambda item: {"model": _model("Flatten", {"Dense": {"units": 4, argument: item}})}


def _optimizer(item: Any) -> dict[str, Any]:
    return {"model": _model(), "compile__optimizer": item}


def _loss(item: Any) -> dict[str, Any]:
    mode = LOSSES[next(iter(item))]
    return {**_of_mode(mode), "compile__loss": item, "compile__metrics": []}


def _metric(item: Any) -> dict[str, Any]:
    mode = min(METRICS[next(iter(item))], key=["categorical", "int", "binary"].index)
    loss = next(name for name, its in LOSSES.items() if its == mode)
    return {**_of_mode(mode), "compile__loss": loss, "compile__metrics": [item]}


def _of_mode(mode: str) -> dict[str, Any]:
    model = _model(units=1, activation="sigmoid") if mode == "binary" else _model()
    return {"data__label_mode": mode, "model": model}


_PLACES: dict[str, Any] = {
    "layers": lambda item: {"model": _model(item)},
    "initializers": _dense("kernel_initializer"),
    "regularizers": _dense("kernel_regularizer"),
    "constraints": _dense("kernel_constraint"),
    "activations": lambda item: {"model": _model({"Dense": {"units": 4, "activation": item}})},
    "optimizers": _optimizer,
    "schedules": lambda item: _optimizer({"SGD": {"learning_rate": item}}),
    "losses": _loss,
    "metrics": _metric,
}
