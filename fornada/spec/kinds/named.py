"""Kinds that are mappings under names of the person's own: tags, and weights of classes."""

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fornada.spec.kinds.kind import Kind, any_of, found, or_null
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.kinds.text import Label, is_class_name, is_label
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.source.scalars import NumberError, resolve
from fornada.spec.values import BALANCED, ClassWeights, is_index
from fornada.spec.wording import clip

# What documents say that the keys of class weights are.
_KINDS: dict[str, Callable[[str], Any]] = {"index": int, "name": str}
# Letters of a tag's text.
_LONGEST_TAG = 255


@dataclass(frozen=True)
class Weights(Kind):
    """A weight for each of some classes, or `balanced`.

    A key without quotes that is an integer is the index of a class, as in Keras; any other key,
    and each one in quotes, is a name. Documents have `{index: {key: weight}, name: {key: weight}}`.
    """

    words = (
        "{class: weight}, each class an index from 0 or a class's name (in quotes if it is a "
        "number), each weight 0 or more; or balanced"
    )
    weight = Number(minimum=0)

    def parse(self, node: Node, at: At) -> ClassWeights | str:
        if isinstance(node, Scalar) and node.value == BALANCED:
            return BALANCED
        if not isinstance(node, nodes.Mapping) or not node.items:
            raise self.wrong(node, at)
        if any(isinstance(item, nodes.Mapping) for item in node.items.values()):
            return self._by_kind(node, at)
        indices: dict[int, float] = {}
        names: dict[str, float] = {}
        for key, item in node.items.items():
            here, quoted = at.key(key), key in node.quoted
            if is_index(key) and not quoted:
                self._weigh(indices, int(key), node, item, here)
            elif quoted or _is_text(key):
                self._weigh(names, key, node, item, here)
            else:
                hint = f'\n  Did you mean "{clip(key)}", in quotes?'
                here.refuse(node.keys[key], f"is no index of a class.\n  {self._expected}{hint}")
        return ClassWeights(indices, names)

    def _by_kind(self, node: nodes.Mapping, at: At) -> ClassWeights:
        for part in node.items.keys() - _KINDS.keys():
            at.key(part).refuse(node.keys[part], f"is neither index nor name.\n  {self._expected}")
        read: dict[str, dict[Any, float]] = {part: {} for part in _KINDS}
        for part, made in _KINDS.items():
            inner = node.items.get(part, nodes.Mapping({}, {}))
            if not isinstance(inner, nodes.Mapping):
                self.wrong(inner, at.key(part))
                continue
            for key, item in inner.items.items():
                here = at.key(key)
                if part == "index" and not is_index(key):
                    here.refuse(item.mark, f"is no index.\n  {self._expected}")
                else:
                    self._weigh(read[part], made(key), inner, item, here)
        if not any(part.items for part in node.items.values() if isinstance(part, nodes.Mapping)):
            raise self.wrong(node, at)
        return ClassWeights(read["index"], read["name"])

    def _weigh(
        self, weights: dict[Any, float], key: int | str, node: nodes.Mapping, item: Node, here: At
    ) -> None:
        mark = node.keys[str(key)]
        here.seen(mark)
        if isinstance(key, str) and not is_class_name(key):
            here.refuse(mark, f"is no class.\n  {self._expected}")
            return
        with suppress(Refused):
            weight = self.weight.parse(item, here)
            if not _is_float32(weight):
                raise self.weight.refuse(item, here, f"{weight:g} is no number of 32 bits.")
            weights[key] = weight

    @property
    def _expected(self) -> str:
        return f"Expected {self.words}."

    def schema(self) -> dict[str, Json]:
        weights: dict[str, Json] = {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": self.weight.schema(),
        }
        inner: dict[str, Json] = {"type": "object", "additionalProperties": self.weight.schema()}
        parts: dict[str, Json] = {
            "type": "object",
            "minProperties": 1,
            "properties": dict.fromkeys(_KINDS, inner),
            "additionalProperties": False,
        }
        return any_of({"const": BALANCED}, weights, parts)


def _is_text(key: str) -> bool:
    """Whether YAML takes a key without quotes for text: not `-1`, `1.0`, `true` or `null`."""
    try:
        return isinstance(resolve(key), str)
    except NumberError:
        return False


def _is_float32(number: float) -> bool:
    """Whether a number is neither infinite nor 0 once it is rounded to 32 bits, unless it is 0."""
    try:
        (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        return False
    return bool(rounded) == bool(number)


@dataclass(frozen=True)
class Tags(Kind):
    """What a person wants to find the job by."""

    words = "{name: text}, each text one line of at most 255 letters"

    def parse(self, node: Node, at: At) -> Mapping[str, str]:
        if isinstance(node, Scalar) and node.value is None:
            return {}
        if not isinstance(node, nodes.Mapping):
            raise self.wrong(node, at)
        tags: dict[str, str] = {}
        for name, item in node.items.items():
            here = at.key(name)
            if not is_label(name):
                here.refuse(node.keys[name], f"is no name.\n  Expected {Label().words}.")
            # A tag is text as written: `fold: 3` and `late: no` lose nothing.
            elif not isinstance(item, Scalar) or item.value is None or not _is_line(item.text):
                here.refuse(item.mark, f"{found(item)} is not accepted.\n  Expected {self.words}.")
            else:
                tags[name] = item.text
        return tags

    def schema(self) -> dict[str, Json]:
        value: Json = {"type": ["string", "number", "boolean"]}
        return or_null({"type": "object", "additionalProperties": value})


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST_TAG and not set(text) & set("\n\r")
