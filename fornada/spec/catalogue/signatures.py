"""The names, arguments and defaults of Keras's classes, without importing Keras.

They come from `keras_signatures.json`. `python -P -m fornada.worker.trainer.model.signatures`
writes that file from the installed Keras, and a test compares the two.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

# Layers that Keras does not have, each with the Keras layer whose arguments it has.
BORROWED = {"MinPooling2D": "MaxPooling2D"}


@cache
def _generated() -> Any:
    return json.loads(Path(__file__).with_name("keras_signatures.json").read_bytes())


def keras_version() -> str:
    """The version of the Keras that the signatures were read from."""
    return str(_generated()["keras"])


@cache
def keras_names(family: str) -> frozenset[str]:
    """All public names of Keras in a family, also those that a spec may not use."""
    return frozenset(_generated()["names"][family])


def signature(family: str, class_name: str) -> dict[str, dict[str, Any]]:
    """The arguments of one class in Keras's order, each `{}` or `{"default": value}`."""
    name = BORROWED.get(class_name, class_name)
    return dict(_generated()["signatures"][family][name])
