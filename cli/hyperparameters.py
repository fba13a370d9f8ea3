"""What decides a training, in few words: `fornada show` prints it."""

from collections.abc import Mapping
from typing import Any

from fornada.spec.catalogue import callbacks, layers, losses, optimizers, schedules
from fornada.spec.catalogue.family import Family
from fornada.spec.values import to_json

# Arguments that are shown even if they have Keras's default, because people ask for them.
ALWAYS = frozenset({"learning_rate", "monitor"})


def hyperparameters(document: Mapping[str, Any]) -> dict[str, str]:
    """Names and values of what decides the numbers of a training, besides images and epochs.

    Args:
        document: the effective spec of a job. It may be of an earlier version of Fornada, so a
            class or an argument may be unknown here.
    Returns:
        `{"optimizer": "Adam(learning_rate=0.001)", "batch size": "64", …}`. Arguments that have
        Keras's default are left out, except the learning rate and monitors. Each callback has a
        line.
    """
    data, compiled, fit = (document.get(name) or {} for name in ("data", "compile", "fit"))
    height, width = data.get("image_size", ("?", "?"))
    found = {
        "optimizer": _call(optimizers.FAMILY, compiled.get("optimizer")),
        "loss": _call(losses.FAMILY, compiled.get("loss")),
        "layers": ", ".join(
            _call(layers.FAMILY, item, arguments=False) for item in document.get("model") or ()
        ),
        "batch size": data.get("batch_size"),
        "image size": f"{height} x {width}, {data.get('color_mode', '?')}",
        "callbacks": "\n".join(
            _call(callbacks.FAMILY, item) for item in document.get("callbacks") or ()
        ),
        "class weight": _weights(fit.get("class_weight")),
        "precision": fit.get("precision") if fit.get("precision") != "float32" else None,
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def _call(family: Family, item: Any, *, arguments: bool = True) -> str:
    """An object as Python writes its making: `Adam(learning_rate=0.001)`.

    Args:
        family: of the class.
        item: the name of a class, or `{name: {argument: value}}`.
        arguments: whether to show them.
    """
    if not isinstance(item, Mapping):
        return "" if item is None else str(item)
    ((name, given),) = item.items()
    defaults = _defaults(family, name)
    shown = [
        f"{argument}={_value(value)}"
        for argument, value in given.items()
        if argument in ALWAYS or (value is not None and defaults.get(argument, _UNKNOWN) != value)
    ]
    return f"{name}({', '.join(shown)})" if shown and arguments else name


# No argument has this value.
_UNKNOWN = object()


def _defaults(family: Family, name: str) -> dict[str, Any]:
    fields = family.arguments.get(name)
    if fields is None:
        return {}
    known = {name: field for name, field in fields.fields.items() if not field.required}
    return {name: to_json(field.parsed_default) for name, field in known.items()}


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        # Of the arguments that are shown, only a learning rate may be an object.
        return _call(schedules.FAMILY, value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _weights(weights: Any) -> str | None:
    """Class weights as a person writes them: `0: 2, 1: 0.5`."""
    if not isinstance(weights, Mapping):
        return None if weights is None else str(weights)
    grouped = set(weights) == {"index", "name"} and isinstance(weights["index"], Mapping)
    merged = {**weights["index"], **weights["name"]} if grouped else weights
    return ", ".join(f"{name}: {weight:g}" for name, weight in merged.items())
