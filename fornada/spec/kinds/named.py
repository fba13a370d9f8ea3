"""Kinds that are mappings whose names the person chooses: tags, and weights of classes."""

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fornada.db.names import composed
from fornada.spec.kinds import decimals
from fornada.spec.kinds.kind import Kind, any_of, found, or_null
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.kinds.text import Name, is_class_name, is_name, nearest_name
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.source.scalars import NumberError, resolve
from fornada.spec.values import BALANCED, ClassWeights, is_index
from fornada.spec.wording import clip

# The two groups of class weights in a document, and the Python type of the keys in each.
_KEY_TYPES: dict[str, Callable[[str], Any]] = {"index": int, "name": str}
# Most tags of a job, and longest text of a tag in characters.
_MOST_TAGS = 100
_LONGEST_TAG = 255


@dataclass(frozen=True)
class Weights(Kind):
    """Weights for some or all classes, or `balanced`.

    An integer key without quotes is the index of a class, as in Keras. Any other key, and every
    key in quotes, is the name of a class. A document may instead have two groups:
    `{index: {key: weight}, name: {key: weight}}`.
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
            return self._read_groups(node, at)
        node = decimals.joined(node)
        indices: dict[int, float] = {}
        names: dict[str, float] = {}
        for key, item in node.items.items():
            here, quoted = at.key(key), key in node.quoted
            if is_index(key) and not quoted:
                self._read_weight(indices, int(key), node, item, here)
            elif quoted or _is_text(key):
                self._read_weight(names, key, node, item, here)
            else:
                hint = f'\n  Did you mean "{clip(key)}", in quotes?'
                message = f"is not the index of a class.\n  {self._expected}{hint}"
                here.refuse(node.keys[key], message)
        return ClassWeights(indices, names)

    def _read_groups(self, node: nodes.Mapping, at: At) -> ClassWeights:
        """Read `{index: {key: weight}, name: {key: weight}}`."""
        for group in node.items.keys() - _KEY_TYPES.keys():
            message = f"is neither index nor name.\n  {self._expected}"
            at.key(group).refuse(node.keys[group], message)
        weights: dict[str, dict[Any, float]] = {group: {} for group in _KEY_TYPES}
        for group, key_type in _KEY_TYPES.items():
            inner = node.items.get(group, nodes.Mapping({}, {}))
            if not isinstance(inner, nodes.Mapping):
                self.wrong(inner, at.key(group))
                continue
            for key, item in inner.items.items():
                here = at.key(key)
                if group == "index" and not is_index(key):
                    here.refuse(item.mark, f"is not an index.\n  {self._expected}")
                else:
                    self._read_weight(weights[group], key_type(key), inner, item, here)
        if not any(part.items for part in node.items.values() if isinstance(part, nodes.Mapping)):
            raise self.wrong(node, at)
        return ClassWeights(weights["index"], weights["name"])

    def _read_weight(
        self, weights: dict[Any, float], key: int | str, node: nodes.Mapping, item: Node, here: At
    ) -> None:
        """Read one weight into `weights`, or record what is wrong with its key or value."""
        mark = node.keys[str(key)]
        here.record_mark(mark)
        if isinstance(key, str) and not is_class_name(key):
            here.refuse(mark, f"cannot be the name of a class.\n  {self._expected}")
            return
        with suppress(Refused):
            weight = self.weight.parse(item, here)
            if not _is_float32(weight):
                message = f"{weight:g} is not representable in 32 bits."
                raise self.weight.refuse(item, here, message)
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
            "properties": dict.fromkeys(_KEY_TYPES, inner),
            "additionalProperties": False,
        }
        return any_of({"const": BALANCED}, weights, parts)


def _is_text(key: str) -> bool:
    """Whether YAML reads a key without quotes as text, unlike `-1`, `1.0`, `true` or `null`."""
    try:
        return isinstance(resolve(key), str)
    except NumberError:
        return False


def _is_float32(number: float) -> bool:
    """Whether a number fits a 32-bit float: it does not become infinite, and 0 only if it is 0."""
    try:
        (rounded,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        return False
    return bool(rounded) == bool(number)


@dataclass(frozen=True)
class Tags(Kind):
    """Names and texts by which a person finds the job."""

    words = "{name: text} of at most 100 tags, each text one line of at most 255 characters"

    def parse(self, node: Node, at: At) -> Mapping[str, str]:
        if isinstance(node, Scalar) and node.value is None:
            return {}
        if not isinstance(node, nodes.Mapping):
            raise self.wrong(node, at)
        if len(node.items) > _MOST_TAGS:
            raise self.refuse(node, at, f"{len(node.items):,} tags are too many.")
        tags: dict[str, str] = {}
        for name, item in node.items.items():
            here = at.key(name)
            if not is_name(composed(name)):
                near = nearest_name(name)
                hint = f'\n  Did you mean "{near}"?' if near else ""
                message = f"cannot be a name.\n  Expected {Name().words}.{hint}"
                here.refuse(node.keys[name], message)
            # The text of a tag is kept as written, so `fold: 3` and `late: no` need no quotes.
            elif not isinstance(item, Scalar) or item.value is None or not _is_line(item.text):
                here.refuse(item.mark, f"{found(item)} is not accepted.\n  Expected {self.words}.")
            else:
                tags[composed(name)] = composed(item.text)
        return tags

    def schema(self) -> dict[str, Json]:
        value: Json = {"type": ["string", "number", "boolean"]}
        return or_null({"type": "object", "additionalProperties": value})


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST_TAG and not set(text) & set("\n\r")
