"""A kind is what one value may be: it reads the value, says it in words, and gives its schema."""

from abc import ABC, abstractmethod
from typing import Any

from fornada.spec.kinds.reading import At, Refused
from fornada.spec.source.nodes import Json, Mapping, Node, Scalar, Sequence
from fornada.spec.values import Value
from fornada.spec.wording import clip


class Kind(ABC):
    """What a value may be."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is expected, to follow "Expected"."""

    @abstractmethod
    def parse(self, node: Node, at: At) -> Any:
        """The value of a node; each kind narrows its type.

        Raises:
            Refused: it is none; the problem is recorded in `at`.
        """

    @abstractmethod
    def schema(self) -> dict[str, Json]:
        """A JSON Schema that accepts whatever `parse` accepts."""

    def with_classes(self, value: Value, count: int) -> Value:
        """`value`, with every "classes" replaced by the number."""
        return value

    def takes(self, node: Node) -> bool:
        """Whether a node has the right shape, a scalar here; `Either` chooses by it."""
        return isinstance(node, Scalar)

    def refuse(self, node: Node, at: At, what: str, hint: str = "") -> Refused:
        """Record that a node is no such value."""
        return at.refuse(node.mark, f"{what}\n  Expected {self.words}.{hint}")

    def wrong(self, node: Node, at: At) -> Refused:
        """Record that a node has another kind."""
        return self.refuse(node, at, f"{found(node)} is not accepted.")


def found(node: Node) -> str:
    """A node in words, for messages."""
    if isinstance(node, Sequence):
        return "a list" if node.items else "an empty list"
    if isinstance(node, Mapping):
        return "a mapping" if node.items else "an empty mapping"
    if isinstance(node.value, str):
        return f'"{clip(node.value)}"'
    return clip(node.text) or "nothing"


def any_of(*schemas: dict[str, Json]) -> dict[str, Json]:
    """A schema that accepts what one of `schemas` does."""
    flat: list[Json] = []
    for schema in schemas:
        inner = schema.get("anyOf") if set(schema) == {"anyOf"} else None
        flat.extend(inner if isinstance(inner, list) else [schema])
    return {"anyOf": flat}


def or_null(schema: dict[str, Json]) -> dict[str, Json]:
    """A schema that accepts null too.

    Keywords such as `minimum` and `properties` say nothing of null, so another type is enough.

    >>> or_null({"type": "integer", "minimum": 1})
    {'type': ['integer', 'null'], 'minimum': 1}
    >>> or_null({"enum": ["valid", "same"]})
    {'enum': ['valid', 'same', None]}
    >>> or_null({"$ref": "#/$defs/losses"})
    {'anyOf': [{'$ref': '#/$defs/losses'}, {'type': 'null'}]}
    """
    match schema:
        case {"enum": list(values), **rest} if not rest:
            return {"enum": [*values, None]}
        case {"type": str() | list() as types, **rest} if not {"const", "enum"} & rest.keys():
            return {"type": [*([types] if isinstance(types, str) else types), "null"], **rest}
        case _:
            return any_of(schema, {"type": "null"})
