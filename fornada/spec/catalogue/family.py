"""A family of Keras classes, such as all layers.

The arguments of a class come from two sources. An `Entry` is written by hand: it says which
arguments a spec may give, and what kind each is. Keras's signatures, which are generated, give
order and defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fornada.spec.catalogue.signatures import signature
from fornada.spec.kinds.fields import REQUIRED, Field, Fields
from fornada.spec.kinds.kind import Kind
from fornada.spec.source.nodes import Json


@dataclass(frozen=True)
class Entry:
    """What is written by hand about one class.

    Attributes:
        about: one sentence for the reference page.
        arguments: the kind of each argument that a spec may give.
        refused: the other arguments that Keras has, each with the message that refuses it.
        required: arguments that a spec must give, although Keras has a default.
        defaults: defaults that differ from Keras's. A comment gives the reason for each.
        with_arguments: only for a function that Keras knows by name: the class that is used
            instead when a spec gives arguments.
    """

    about: str
    arguments: Mapping[str, Kind] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    defaults: Mapping[str, Json] = field(default_factory=dict)
    with_arguments: str = ""


@dataclass(frozen=True, eq=False)
class Family:
    """The classes that are allowed in one place of a spec.

    Attributes:
        name: Keras's module, such as `layers`.
        noun: one class of the family in words, such as "a layer".
        entries: the supported classes, by name.
        aliases: other spellings, each with the name that it stands for.
        instead: for some classes of Keras that are not supported: YAML that does the same.
    """

    name: str
    noun: str
    entries: Mapping[str, Entry]
    aliases: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def arguments(self) -> Mapping[str, Fields]:
        """The arguments that a spec may give, by class and in Keras's order."""
        return {name: self._arguments(name, entry) for name, entry in self.entries.items()}

    def _arguments(self, class_name: str, entry: Entry) -> Fields:
        fields = {
            name: Field(entry.arguments[name], _default(entry, name, generated))
            for name, generated in signature(self.name, class_name).items()
            if name in entry.arguments
        }
        return Fields(class_name, "argument", fields, entry.refused)


def _default(entry: Entry, name: str, generated: Mapping[str, Any]) -> object:
    if name in entry.required:
        return REQUIRED
    if name in entry.defaults:
        return entry.defaults[name]
    return generated.get("default", REQUIRED)
