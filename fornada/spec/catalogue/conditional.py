"""Arguments that have an effect only with certain values of another argument of the same object.

Example: Keras accepts `bias_initializer` beside `use_bias: false` and ignores it. A value that
differs from the default is refused there, because the person who writes it expects an effect. The
default is accepted, because an effective document contains every default.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fornada.spec.catalogue.family import Family
from fornada.spec.kinds.reading import At
from fornada.spec.values import KerasObject, Value


@dataclass(frozen=True)
class ConditionalArguments:
    """Arguments of a class that depend on another argument.

    Attributes:
        arguments: their names.
        depends_on: the name of the other argument.
        have_effect: whether the arguments have an effect, for a value of the other argument.
        expected: what to write so that they have an effect.
    """

    arguments: tuple[str, ...]
    depends_on: str
    have_effect: Callable[[Value], bool]
    expected: str


def _only_with(depends_on: str, value: bool | str, *arguments: str) -> ConditionalArguments:
    """Arguments that have an effect only with one value of another argument."""
    written = str(value).lower() if isinstance(value, bool) else value
    return ConditionalArguments(
        arguments, depends_on, lambda given: given == value, f"{depends_on}: {written}"
    )


def _of_weight(depends_on: str, weight: str) -> ConditionalArguments:
    """The arguments about a weight that a layer only has if `depends_on` is true."""
    names = (f"{weight}_{what}" for what in ("initializer", "regularizer", "constraint"))
    return _only_with(depends_on, True, *names)


_BIAS = (_of_weight("use_bias", "bias"),)
_SCALED = (_of_weight("center", "beta"), _of_weight("scale", "gamma"))
_FILL = (_only_with("fill_mode", "constant", "fill_value"),)
_AVERAGES = (_only_with("use_ema", True, "ema_momentum", "ema_overwrite_frequency"),)
CONDITIONAL: dict[str, tuple[ConditionalArguments, ...]] = {
    "Conv2D": _BIAS,
    "SeparableConv2D": _BIAS,
    "Dense": _BIAS,
    "BatchNormalization": (*_SCALED, _only_with("renorm", True, "renorm_momentum")),
    "LayerNormalization": _SCALED,
    "RandomRotation": _FILL,
    "RandomTranslation": _FILL,
    "RandomZoom": _FILL,
    "Adam": _AVERAGES,
    "AdamW": _AVERAGES,
    "RMSprop": _AVERAGES,
    "SGD": (
        *_AVERAGES,
        ConditionalArguments(
            ("nesterov",), "momentum", lambda given: given != 0, "momentum above 0"
        ),
    ),
    "CosineDecay": (
        ConditionalArguments(
            ("warmup_steps",), "warmup_target", lambda given: given is not None, "warmup_target"
        ),
    ),
    "AUC": (
        ConditionalArguments(
            ("num_thresholds",), "thresholds", lambda given: given is None, "thresholds: null"
        ),
    ),
}


def check(family: Family, item: KerasObject, at: At) -> None:
    """Refuse each argument that has no effect, if its value differs from the default.

    In a recorded job's document this is only a warning: an earlier version accepted the document,
    and the job trains as it would have then.

    Args:
        family: of the object.
        item: the object, with the arguments that could be read.
        at: the place that the object was read from.
    """
    for name, condition in _without_effect(item):
        default = family.arguments[item.class_name].fields[name].parsed_default
        if item.arguments[name] != default:
            what = f"has no effect here.\n  Expected {condition.expected} beside it, or no {name}."
            if at.reading.recorded:
                at.key(name).warn(what)
            else:
                at.key(name).refuse(None, what)


def _without_effect(item: KerasObject) -> Iterator[tuple[str, ConditionalArguments]]:
    """Each argument of `item` that has no effect, whatever its value, with its condition."""
    for condition in CONDITIONAL.get(item.class_name, ()):
        # An argument that could not be read is already reported.
        if condition.depends_on not in item.arguments:
            continue
        if not condition.have_effect(item.arguments[condition.depends_on]):
            for name in condition.arguments:
                if name in item.arguments:
                    yield name, condition
