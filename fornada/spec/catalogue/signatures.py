"""What Keras says of its own classes: names, arguments and defaults.

`keras_signatures.json` holds them for the Keras it was written from, by
`python -P -m fornada.worker.trainer.model.signatures`; a test compares it with the installed one.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

# Ours, and whose arguments each has.
BORROWED = {"MinPooling2D": "MaxPooling2D"}


@cache
def _generated() -> Any:
    return json.loads(Path(__file__).with_name("keras_signatures.json").read_bytes())


def keras_version() -> str:
    """Of the Keras that the signatures were read from."""
    return str(_generated()["keras"])


@cache
def keras_names(family: str) -> frozenset[str]:
    """Every public name of Keras in a family, supported or not."""
    return frozenset(_generated()["names"][family])


def signature(family: str, class_name: str) -> dict[str, dict[str, Any]]:
    """The arguments of one class in Keras's order, each `{}` or `{"default": value}`."""
    name = BORROWED.get(class_name, class_name)
    return dict(_generated()["signatures"][family][name])
