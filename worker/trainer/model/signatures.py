"""Writes fornada/spec/catalogue/keras_signatures.json: what Keras says of its own classes.

Run `python -P -m fornada.worker.trainer.model.signatures` after Keras or the catalogue has changed.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import keras

from fornada.spec import catalogue
from fornada.spec.catalogue import FAMILIES
from fornada.spec.catalogue.signatures import BORROWED

TARGET = Path(catalogue.__file__).with_name("keras_signatures.json")
# Names in Keras's modules that are no choice for a spec.
_TOOLS = frozenset({"deserialize", "get", "serialize", "legacy", "schedules"})


def generate() -> dict[str, Any]:
    """All public names of each family, and the arguments of those the catalogue knows."""
    return {
        "keras": keras.__version__,
        "names": {name: _names(name) for name in FAMILIES},
        "signatures": {
            name: {known: _arguments(name, known) for known in sorted(family.entries)}
            for name, family in FAMILIES.items()
        },
    }


def _house(family: str) -> Any:
    return keras.optimizers.schedules if family == "schedules" else getattr(keras, family)


def _names(family: str) -> list[str]:
    public = (name for name in vars(_house(family)) if not name.startswith("_"))
    return sorted(set(public) - _TOOLS)


def _arguments(family: str, name: str) -> dict[str, dict[str, Any]]:
    if name in BORROWED or (family == "metrics" and name.islower()):
        # MinPooling2D is ours; a metric's function is given by name alone.
        return {}
    keras_class = getattr(_house(family), name)
    parameters = dict(inspect.signature(keras_class).parameters)
    if family == "activations":
        del parameters["x"]
    catches_more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if inspect.isclass(keras_class) and issubclass(keras_class, keras.Layer) and catches_more:
        # What a layer passes on to Layer itself: name, trainable, …
        inherited = inspect.signature(keras.Layer.__init__).parameters
        parameters = {**inherited, **parameters}
        parameters = {n: p for n, p in parameters.items() if n not in ("self", "kwargs")}
        own = list(inspect.signature(keras_class).parameters)
        ordered = [n for n in own if n in parameters] + [n for n in parameters if n not in own]
        parameters = {n: parameters[n] for n in ordered}
    return {
        argument: {} if parameter.default is parameter.empty else {"default": parameter.default}
        for argument, parameter in parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def render() -> str:
    """The file's text."""
    return json.dumps(generate(), indent=1, sort_keys=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render())
    sys.stdout.write(f"{TARGET}\n")
