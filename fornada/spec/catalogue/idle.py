"""Arguments that Keras takes and ignores, because of another argument of the same object.

A value that differs from the default is refused there: who writes it expects it to act. The default
is not refused, since an effective document writes every default out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fornada.spec.catalogue.family import Family
from fornada.spec.kinds.reading import At
from fornada.spec.values import KerasObject, Value


@dataclass(frozen=True)
class Idle:
    """Arguments of a class, and when they act.

    Attributes:
        arguments: their names.
        decides: the argument that lets them act, or stops them.
        acts: whether they act beside a value of `decides`.
        expected: what to write so that they act.
    """

    arguments: tuple[str, ...]
    decides: str
    acts: Callable[[Value], bool]
    expected: str


def _with(decides: str, value: bool | str, *arguments: str) -> Idle:
    """They act beside one value of `decides` alone."""
    written = str(value).lower() if isinstance(value, bool) else value
    return Idle(arguments, decides, lambda given: given == value, f"{decides}: {written}")


def _parts(decides: str, weight: str) -> Idle:
    """What is said of a weight that a layer may go without."""
    names = (f"{weight}_{what}" for what in ("initializer", "regularizer", "constraint"))
    return _with(decides, True, *names)


_BIAS = (_parts("use_bias", "bias"),)
_SCALED = (_parts("center", "beta"), _parts("scale", "gamma"))
_FILL = (_with("fill_mode", "constant", "fill_value"),)
_AVERAGES = (_with("use_ema", True, "ema_momentum", "ema_overwrite_frequency"),)
IDLE: dict[str, tuple[Idle, ...]] = {
    "Conv2D": _BIAS,
    "SeparableConv2D": _BIAS,
    "Dense": _BIAS,
    "BatchNormalization": (*_SCALED, _with("renorm", True, "renorm_momentum")),
    "LayerNormalization": _SCALED,
    "RandomRotation": _FILL,
    "RandomTranslation": _FILL,
    "RandomZoom": _FILL,
    "Adam": _AVERAGES,
    "AdamW": _AVERAGES,
    "RMSprop": _AVERAGES,
    "SGD": (
        *_AVERAGES,
        Idle(("nesterov",), "momentum", lambda given: given != 0, "momentum above 0"),
    ),
    "CosineDecay": (
        Idle(("warmup_steps",), "warmup_target", lambda given: given is not None, "warmup_target"),
    ),
    "AUC": (
        Idle(("num_thresholds",), "thresholds", lambda given: given is None, "thresholds: null"),
    ),
}


def check(family: Family, item: KerasObject, at: At) -> None:
    """Refuse each argument that cannot act and has another value than its default.

    In the document of a job it is only told: an earlier version accepted it.

    Args:
        family: of the object.
        item: with the arguments that could be read.
        at: where it was read from.
    """
    for name, idle in idles(item):
        default = family.arguments[item.class_name].fields[name].parsed_default
        if item.arguments[name] != default:
            what = f"has no effect here.\n  Expected {idle.expected} beside it, or no {name}."
            # A job that was recorded trains as it would have.
            if at.reading.recorded:
                at.key(name).warn(what)
            else:
                at.key(name).refuse(None, what)


def idles(item: KerasObject) -> Iterator[tuple[str, Idle]]:
    """Each argument of an object that cannot act, whatever its value."""
    for idle in IDLE.get(item.class_name, ()):
        # What could not be read is reported already.
        if idle.decides in item.arguments and not idle.acts(item.arguments[idle.decides]):
            for name in idle.arguments:
                if name in item.arguments:
                    yield name, idle
