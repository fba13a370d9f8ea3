"""Writes fornada/spec/catalogue/keras_signatures.json: names and arguments of Keras's classes.

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
from fornada.worker.trainer.model.keras_objects import module_of

TARGET = Path(catalogue.__file__).with_name("keras_signatures.json")
# Names in Keras's modules that a spec cannot use.
_TOOLS = frozenset({"deserialize", "get", "serialize", "legacy", "schedules"})


def generate() -> dict[str, Any]:
    """All public names of each family, and the arguments of those in the catalogue."""
    return {
        "keras": keras.__version__,
        "names": {name: _names(name) for name in FAMILIES},
        "signatures": {
            name: {known: _arguments(name, known) for known in sorted(family.entries)}
            for name, family in FAMILIES.items()
        },
    }


def _names(family: str) -> list[str]:
    public = (name for name in vars(module_of(family)) if not name.startswith("_"))
    return sorted(set(public) - _TOOLS)


def _arguments(family: str, name: str) -> dict[str, dict[str, Any]]:
    if name in BORROWED or (family == "metrics" and name.islower()):
        # MinPooling2D is Fornada's own. A metric that is a function takes no arguments in a spec.
        return {}
    keras_class = getattr(module_of(family), name)
    parameters = dict(inspect.signature(keras_class).parameters)
    if family == "activations":
        del parameters["x"]
    catches_more = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if inspect.isclass(keras_class) and issubclass(keras_class, keras.Layer) and catches_more:
        # Arguments that a layer passes on to `Layer`: name, trainable, …
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
    """The text of the file."""
    return json.dumps(generate(), indent=1, sort_keys=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render())
    sys.stdout.write(f"{TARGET}\n")
