"""The names that a training produces, and which of them decides what is best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fornada.spec.values import KerasObject

# ReduceLROnPlateau writes it into the history; nobody can wait for it to improve.
LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class Monitor:
    """One name of the history, and whether less or more of it is better."""

    name: str
    mode: Literal["min", "max"]


def reported_name(metric: KerasObject) -> str:
    """The name that Keras reports a metric under."""
    name = metric.arguments.get("name")
    return name if isinstance(name, str) else metric.class_name


def produces(
    metrics: Iterable[KerasObject], callbacks: Sequence[KerasObject], *, validates: bool
) -> tuple[str, ...]:
    """Every name that the history will hold, each with its `val_` twin behind it."""
    names: list[str] = []
    for name in ("loss", *map(reported_name, metrics)):
        names += [name, f"val_{name}"] if validates else [name]
    if any(callback.class_name == "ReduceLROnPlateau" for callback in callbacks):
        names.append(LEARNING_RATE)
    return tuple(names)


def deciding(callbacks: Iterable[KerasObject], *, validates: bool) -> Monitor:
    """What decides the best model: the first ModelCheckpoint, else the loss.

    Args:
        validates: whether there is a `val_loss`.
    """
    for callback in callbacks:
        if callback.class_name == "ModelCheckpoint":
            return of(callback)
    return Monitor("val_loss" if validates else "loss", "min")


def of(callback: KerasObject) -> Monitor:
    """What a callback waits for; `auto` as Keras resolves it."""
    name = str(callback.arguments["monitor"])
    mode = callback.arguments["mode"]
    if mode == "min" or (mode == "auto" and name.removeprefix("val_") == "loss"):
        return Monitor(name, "min")
    # Every metric of the catalogue is better when it is higher, as its `_direction` in Keras
    # says; a test asks Keras for each.
    return Monitor(name, "max")
