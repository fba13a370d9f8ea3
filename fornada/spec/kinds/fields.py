"""Mappings with known names: the sections of a spec, and the arguments of a Keras class."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fornada.spec.kinds import decimals
from fornada.spec.kinds.kind import Kind, found
from fornada.spec.kinds.reading import At, Reading, Refused
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node, Scalar, literal
from fornada.spec.wording import clip, did_you_mean, listed, nearest, without_space

# Marks a field that has no default.
REQUIRED = object()


@dataclass(frozen=True)
class Field:
    """One name of a mapping.

    Attributes:
        kind: what its value may be.
        default: as a spec would write it; REQUIRED where there is none.
        about: one sentence for the documentation.
    """

    kind: Kind
    default: object = REQUIRED
    about: str = ""

    @property
    def required(self) -> bool:
        """Whether a spec must give this name."""
        return self.default is REQUIRED

    def annotations(self) -> dict[str, Json]:
        """What a JSON Schema says about the field for people and editors."""
        described: dict[str, Json] = {"description": self.about or f"{self.kind.words}."}
        return described if self.required else described | {"default": self.written_default()}

    def written_default(self) -> Json:
        """The default as JSON."""
        written: Json = json.loads(json.dumps(self.default))
        return written

    @cached_property
    def parsed_default(self) -> Any:
        """The default, read in the same way as a value of a spec."""
        at = At(Reading(file="<default>"))
        value = self.kind.parse(literal(self.default), at)
        if at.reading.problems:
            raise Refused
        return value


@dataclass(frozen=True)
class Fields:
    """The names that a mapping may hold.

    Attributes:
        owner: name of the mapping in messages, such as `Dense` or `data`.
        noun: what messages call one of its names: `argument`, `field` or `section`.
        fields: by name, in the order of effective documents.
        refused: names that Keras accepts and a spec does not, each with the message for it.
    """

    owner: str
    noun: str
    fields: Mapping[str, Field]
    refused: Mapping[str, str] = field(default_factory=dict)

    def parse(self, node: Node, at: At) -> dict[str, Any]:
        """The values by name, with defaults for the names that are not given.

        Every problem is recorded in `at`. A name with a problem is missing from the result.
        """
        if isinstance(node, Scalar) and node.value is None:
            node = nodes.Mapping({}, {}, node.mark)
        if not isinstance(node, nodes.Mapping):
            at.refuse(node.mark, self._not_a_mapping(node))
            return {}
        node = decimals.joined(node, self.fields)
        given, misspelled = node.items, self._refuse_unknown(node, at)
        values: dict[str, Any] = {}
        for name, one in self.fields.items():
            if name in given:
                here = at.key(name)
                here.record_mark(given[name].mark)
                with suppress(Refused):
                    values[name] = one.kind.parse(given[name], here)
            elif not one.required:
                values[name] = one.parsed_default
            elif name not in misspelled:
                at.key(name).refuse(None, f"is missing.\n  Expected {one.kind.words}.")
        return values

    def _refuse_unknown(self, node: nodes.Mapping, at: At) -> set[str | None]:
        """Record a problem for each unknown name, and return the names they probably meant."""
        unknown = {name: mark for name, mark in node.keys.items() if name not in self.fields}
        for name, mark in unknown.items():
            at.key(name).refuse(mark, self._unknown_name(name))
        meant = {name.partition(":")[0] for name in unknown if without_space(name, self.fields)}
        return meant | {nearest(name, self.fields) for name in unknown if name not in self.refused}

    def _not_a_mapping(self, node: Node) -> str:
        if not self.fields:
            return f"{found(node)} is not accepted.\n  Expected no {self.noun}s."
        if isinstance(node, Scalar) and (glued := without_space(node.text, self.fields)):
            return glued
        hint = ""
        first = next(iter(self.fields))
        if isinstance(node, Scalar) and self.noun == "argument":
            hint = f"\n  Did you mean {{{first}: {clip(node.text)}}}?"
        names = listed(self.fields)
        return (
            f"{found(node)} is not accepted.\n  Expected {self.noun}s by name, of: {names}.{hint}"
        )

    def _unknown_name(self, name: str) -> str:
        if name in self.refused:
            return self.refused[name]
        if glued := without_space(name, self.fields):
            return glued
        names = listed(self.fields) or f"no {self.noun}s"
        hint = did_you_mean(name, self.fields)
        return f"{self.owner} has no such {self.noun}.\n  Expected one of: {names}.{hint}"

    def schema(self) -> dict[str, Json]:
        """A JSON Schema that accepts everything that `parse` accepts."""
        properties: dict[str, Json] = {
            name: one.annotations() | one.kind.schema() for name, one in self.fields.items()
        }
        schema: dict[str, Json] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        if required := self.required():
            schema["required"] = list(required)
        return schema

    def required(self) -> Iterable[str]:
        """The names that a spec must give."""
        return [name for name, one in self.fields.items() if one.required]
