"""A family of Keras classes: what is kept of each by hand, joined with Keras's signatures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fornada.spec.catalogue.signatures import signature
from fornada.spec.kinds.fields import REQUIRED, Field, Fields
from fornada.spec.kinds.kind import Kind
from fornada.spec.source.nodes import Json


@dataclass(frozen=True)
class Hand:
    """The part of one class that is kept by hand.

    Attributes:
        about: one sentence for the reference.
        arguments: the kind of each argument that a spec may give.
        refused: Keras's other arguments, each with a sentence that says why not.
        required: arguments that a spec must give although Keras has a default.
        defaults: defaults that are not Keras's own, each with its reason in a comment.
        with_arguments: for a function that Keras knows by name alone: the class that takes over
            when arguments are given.
    """

    about: str
    arguments: Mapping[str, Kind] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    defaults: Mapping[str, Json] = field(default_factory=dict)
    with_arguments: str = ""


@dataclass(frozen=True, eq=False)
class Family:
    """Classes that may stand in one place of a spec.

    Attributes:
        name: Keras's module, such as `layers`.
        noun: one of them in words.
        hands: what is supported.
        aliases: other spellings, and the name each stands for.
        instead: of Keras's classes that are not supported, what does the same, as YAML.
    """

    name: str
    noun: str
    hands: Mapping[str, Hand]
    aliases: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def arguments(self) -> Mapping[str, Fields]:
        """By class, the arguments that a spec may give, in Keras's order."""
        return {name: self._arguments(name, hand) for name, hand in self.hands.items()}

    def _arguments(self, class_name: str, hand: Hand) -> Fields:
        fields = {
            name: Field(hand.arguments[name], _default(hand, name, generated))
            for name, generated in signature(self.name, class_name).items()
            if name in hand.arguments
        }
        return Fields(class_name, "argument", fields, hand.refused)


def _default(hand: Hand, name: str, generated: Mapping[str, Any]) -> object:
    if name in hand.required:
        return REQUIRED
    if name in hand.defaults:
        return hand.defaults[name]
    return generated.get("default", REQUIRED)
