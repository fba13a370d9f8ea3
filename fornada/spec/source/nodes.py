"""A spec as written: scalars, lists and mappings that remember where they were written."""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Plain: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Mark:
    """Where a node was written: a line of the file (from 1), or an override such as `--set …`."""

    line: int | None = None
    override: str | None = None


@dataclass
class Scalar:
    """One value.

    Attributes:
        text: what the person wrote, without quotes.
        python: whether a Python program gave the value. PyYAML may have read it, by YAML 1.1: there
            `1e-3` is text, and `no` is false.
    """

    value: Plain
    text: str
    mark: Mark = field(default_factory=Mark)
    python: bool = False


@dataclass
class Sequence:
    """A list."""

    items: list["Node"]
    mark: Mark = field(default_factory=Mark)


@dataclass
class Mapping:
    """Names and their values, in the order written.

    Attributes:
        keys: where each name was written.
        quoted: the names in quotes: `"1"` is text, `1` without quotes is a number.
    """

    items: dict[str, "Node"]
    keys: dict[str, Mark]
    mark: Mark = field(default_factory=Mark)
    quoted: set[str] = field(default_factory=set)


Node: TypeAlias = Scalar | Sequence | Mapping


def literal(value: object, mark: Mark | None = None) -> Node:
    """The node of a value from our own code, such as a default. No limit is checked.

    Args:
        value: None, bool, int, float, str, or lists, tuples and mappings of these.
        mark: of the node and of everything in it; None: no place.
    Raises:
        TypeError: the value has another type.
    """
    mark = mark or Mark()
    if isinstance(value, MappingOf):
        items = {str(key): literal(item, mark) for key, item in value.items()}
        return Mapping(items, dict.fromkeys(items, mark), mark)
    if isinstance(value, list | tuple):
        return Sequence([literal(item, mark) for item in value], mark)
    if value is None or isinstance(value, bool | int | float | str):
        return Scalar(value, _text(value), mark)
    raise TypeError(f"no node for {type(value).__name__}")


def written_name(node: Node) -> str | None:
    """The class name of an item: `Flatten` or `{Dense: …}`. None for any other node."""
    if isinstance(node, Scalar):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, Mapping) and len(node.items) == 1:
        return next(iter(node.items))
    return None


def _text(value: Plain) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
