"""Kinds that are made of other kinds: a value or null, a list, a pair, or one of several kinds."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fornada.spec.kinds.kind import Kind, any_of, or_null
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.source.nodes import Json, Node, Scalar, Sequence
from fornada.spec.values import Value


@dataclass(frozen=True)
class Nullable(Kind):
    """A value or null."""

    kind: Kind

    @property
    def words(self) -> str:
        return f"{self.kind.words}, or null"

    def takes(self, node: Node) -> bool:
        return isinstance(node, Scalar) or self.kind.takes(node)

    def parse(self, node: Node, at: At) -> Any:
        if isinstance(node, Scalar) and node.value is None:
            return None
        return self.kind.parse(node, at)

    def with_classes(self, value: Value, count: int) -> Value:
        return None if value is None else self.kind.with_classes(value, count)

    def schema(self) -> dict[str, Json]:
        return or_null(self.kind.schema())


@dataclass(frozen=True)
class ListOf(Kind):
    """A list of values of one kind."""

    kind: Kind
    minimum: int = 1
    maximum: int | None = None
    ascending: bool = False

    @property
    def words(self) -> str:
        count = "a list"
        if self.minimum == self.maximum:
            count = f"a list of {self.minimum}"
        elif self.minimum > 1:
            count = f"a list of {self.minimum} or more"
        order = "ascending, " if self.ascending else ""
        return f"{count}, {order}each {self.kind.words}"

    def takes(self, node: Node) -> bool:
        return isinstance(node, Sequence)

    def parse(self, node: Node, at: At) -> tuple[Any, ...]:
        if not isinstance(node, Sequence):
            raise self.wrong(node, at)
        count = len(node.items)
        if count < self.minimum or (self.maximum is not None and count > self.maximum):
            hint = "\n  Decimals are written with a point." if self._has_commas(node) else ""
            raise self.refuse(node, at, f"a list of {count} is not accepted.", hint)
        values = self._items(node, at)
        if self.ascending and list(values) != sorted(set(values)):
            raise self.refuse(node, at, "the values do not ascend.")
        return values

    def _has_commas(self, node: Sequence) -> bool:
        """Whether this may be `[0,1, 0,2]`, which YAML reads as four integers."""
        integers = all(isinstance(one, Scalar) and type(one.value) is int for one in node.items)
        twice = self.maximum is not None and len(node.items) == 2 * self.maximum
        return integers and twice and isinstance(self.kind, Number)

    def _items(self, node: Sequence, at: At) -> tuple[Any, ...]:
        values = []
        for index, item in enumerate(node.items):
            # After a bad item the others are read too, so that all problems are reported.
            with suppress(Refused):
                values.append(self.kind.parse(item, at.key(str(index))))
        if len(values) < len(node.items):
            raise Refused
        return tuple(values)

    def with_classes(self, value: Value, count: int) -> Value:
        if not isinstance(value, tuple):
            return value
        return tuple(self.kind.with_classes(item, count) for item in value)

    def schema(self) -> dict[str, Json]:
        schema: dict[str, Json] = {"type": "array", "items": self.kind.schema()}
        if self.minimum:
            schema["minItems"] = self.minimum
        if self.maximum is not None:
            schema["maxItems"] = self.maximum
        return schema


# A size as people write it: `64x64`.
_SIZE = re.compile(r"(\d{1,5}) ?[xX*] ?(\d{1,5})")


@dataclass(frozen=True)
class Pair(Kind):
    """Height and width: one value for both, or a list of two. It is stored as two values."""

    kind: Kind

    @property
    def words(self) -> str:
        return f"{self.kind.words}; or a list of two of these, height and width"

    def takes(self, node: Node) -> bool:
        return isinstance(node, Sequence) or self.kind.takes(node)

    def parse(self, node: Node, at: At) -> tuple[Any, ...]:
        if isinstance(node, Scalar) and (size := _SIZE.fullmatch(str(node.value))):
            hint = f"\n  Did you mean [{size[1]}, {size[2]}]?"
            raise self.refuse(node, at, f'"{node.value}" is not an integer.', hint)
        if not isinstance(node, Sequence):
            value = self.kind.parse(node, at)
            return (value, value)
        if len(node.items) != 2:
            raise self.refuse(node, at, f"a list of {len(node.items)} is not accepted.")
        return ListOf(self.kind, 2, 2).parse(node, at)

    def with_classes(self, value: Value, count: int) -> Value:
        return ListOf(self.kind).with_classes(value, count)

    def schema(self) -> dict[str, Json]:
        return any_of(self.kind.schema(), ListOf(self.kind, 2, 2).schema())


@dataclass(frozen=True, init=False)
class Either(Kind):
    """A value of one of several kinds: the first kind that accepts it reads it."""

    kinds: tuple[Kind, ...]

    def __init__(self, *kinds: Kind) -> None:
        object.__setattr__(self, "kinds", kinds)

    @property
    def words(self) -> str:
        return "; or ".join(kind.words for kind in self.kinds)

    def takes(self, node: Node) -> bool:
        return any(kind.takes(node) for kind in self.kinds)

    def parse(self, node: Node, at: At) -> Any:
        fitting = [kind for kind in self.kinds if kind.takes(node)]
        if len(fitting) == 1 and not isinstance(node, Scalar):
            # Only one kind takes lists, or mappings: its own messages say most about this one.
            return fitting[0].parse(node, at)
        trials = [(kind, at.trial()) for kind in fitting]
        for kind, trial in trials:
            with suppress(Refused):
                kind.parse(node, trial)
            if not trial.reading.problems:
                return kind.parse(node, at)
        if not trials:
            raise self.wrong(node, at)
        first = trials[0][1].reading.problems[0].message
        raise self.refuse(node, at, first.partition("\n")[0], _did_you_mean(first))

    def with_classes(self, value: Value, count: int) -> Value:
        for kind in self.kinds:
            value = kind.with_classes(value, count)
        return value

    def schema(self) -> dict[str, Json]:
        return any_of(*(kind.schema() for kind in self.kinds))


def _did_you_mean(message: str) -> str:
    _, mark, hint = message.partition("\n  Did you mean")
    return mark + hint
