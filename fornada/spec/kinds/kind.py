"""The base class of kinds. A kind says what one value of a spec may be."""

from abc import ABC, abstractmethod
from typing import Any

from fornada.spec.kinds.reading import At, Refused
from fornada.spec.source.nodes import Json, Mapping, Node, Scalar, Sequence
from fornada.spec.values import Value
from fornada.spec.wording import clip


class Kind(ABC):
    """What one value of a spec may be."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is accepted, in words. In messages it stands after "Expected"."""

    @abstractmethod
    def parse(self, node: Node, at: At) -> Any:
        """The value of a node. Each kind returns a narrower type.

        Raises:
            Refused: the node is not a value of this kind. The problem is recorded in `at`.
        """

    @abstractmethod
    def schema(self) -> dict[str, Json]:
        """A JSON Schema that accepts everything that `parse` accepts."""

    def with_classes(self, value: Value, count: int) -> Value:
        """`value`, with `count` in place of every "classes"."""
        return value

    def takes(self, node: Node) -> bool:
        """Whether a node has the right shape: here a scalar. `Either` chooses a kind by it."""
        return isinstance(node, Scalar)

    def refuse(self, node: Node, at: At, what: str, hint: str = "") -> Refused:
        """Record a problem: what is wrong, what is expected, and a hint."""
        return at.refuse(node.mark, f"{what}\n  Expected {self.words}.{hint}")

    def wrong(self, node: Node, at: At) -> Refused:
        """Record that a node is not accepted."""
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
    """A schema that accepts everything that at least one of `schemas` accepts."""
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
