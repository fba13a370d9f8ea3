"""The names in a training's history, and which of them decides the best model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fornada.spec.values import KerasObject

# ReduceLROnPlateau writes this name into the history. It cannot be a monitor.
LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class Monitor:
    """One name of the history, and whether a lower ("min") or higher ("max") value is better."""

    name: str
    mode: Literal["min", "max"]


def reported_name(metric: KerasObject) -> str:
    """The name under which Keras reports a metric."""
    name = metric.arguments.get("name")
    return name if isinstance(name, str) else metric.class_name


def produces(
    metrics: Iterable[KerasObject], callbacks: Sequence[KerasObject], *, validates: bool
) -> tuple[str, ...]:
    """All names of the history. With validation, each is followed by the same with `val_`.

    Args:
        metrics: of the spec.
        callbacks: those that may add names.
        validates: whether each epoch ends with a validation.
    """
    names: list[str] = []
    for name in ("loss", *map(reported_name, metrics)):
        names += [name, f"val_{name}"] if validates else [name]
    if any(callback.class_name == "ReduceLROnPlateau" for callback in callbacks):
        names.append(LEARNING_RATE)
    return tuple(names)


def deciding(callbacks: Iterable[KerasObject], *, validates: bool) -> Monitor:
    """The monitor that decides the best model: that of the first ModelCheckpoint, else the loss.

    Args:
        callbacks: of the spec.
        validates: whether there is a `val_loss`.
    """
    for callback in callbacks:
        if callback.class_name == "ModelCheckpoint":
            return of(callback)
    return Monitor("val_loss" if validates else "loss", "min")


def of(callback: KerasObject) -> Monitor:
    """The monitor of a callback, with the mode that Keras chooses for `auto`."""
    name = str(callback.arguments["monitor"])
    return Monitor(name, mode_of(name, str(callback.arguments["mode"])))


def mode_of(monitor: str, mode: str) -> Literal["min", "max"]:
    """Whether a lower or a higher value is better, for the argument `mode` of a callback."""
    if mode == "min" or (mode == "auto" and monitor.removeprefix("val_") == "loss"):
        return "min"
    # Every metric of the catalogue is better when it is higher. A test compares each with its
    # `_direction` in Keras.
    return "max"
