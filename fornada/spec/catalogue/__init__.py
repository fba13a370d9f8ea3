"""The catalogue: what is kept by hand joined with what Keras's signatures say.

`keras_signatures.json` holds names, arguments and defaults of the installed Keras, written by
`python -P -m worker.trainer.signatures` and compared again by a test.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from fornada.spec.catalogue import (
    activations,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
)
from fornada.spec.catalogue.objects import Family, Hand
from fornada.spec.kinds.fields import REQUIRED, Field, Fields

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY
    for module in (
        layers,
        initializers,
        regularizers,
        constraints,
        activations,
        optimizers,
        schedules,
        losses,
        metrics,
        callbacks,
    )
}
# Ours, and whose arguments each has.
BORROWED = {"MinPooling2D": "MaxPooling2D"}


def family(name: str) -> Family:
    """A family by Keras's module name, such as `layers`."""
    return FAMILIES[name]


@cache
def _generated() -> Any:
    return json.loads(Path(__file__).with_name("keras_signatures.json").read_bytes())


def keras_version() -> str:
    """Of the Keras that the signatures were read from."""
    return str(_generated()["keras"])


@cache
def keras_names(family_name: str) -> frozenset[str]:
    """Every public name of Keras in a family, supported or not."""
    return frozenset(_generated()["names"].get(family_name, ()))


def signature(family_name: str, class_name: str) -> dict[str, dict[str, Any]]:
    """Keras's arguments of one class in its own order, each `{}` or `{"default": value}`."""
    return dict(_generated()["signatures"][family_name].get(class_name, {}))


@cache
def fields(family_name: str, class_name: str) -> Fields:
    """The arguments that a spec may give to one class, in Keras's order."""
    hand = FAMILIES[family_name].hands[class_name]
    arguments = signature(family_name, BORROWED.get(class_name, class_name))
    found = {
        name: Field(hand.arguments[name], _default(hand, name, generated))
        for name, generated in arguments.items()
        if name in hand.arguments
    }
    return Fields(class_name, "argument", found, hand.refused)


def _default(hand: Hand, name: str, generated: dict[str, Any]) -> object:
    if name in hand.required:
        return REQUIRED
    if name in hand.defaults:
        return hand.defaults[name]
    return generated.get("default", REQUIRED)
