"""Kinds that are mappings under names of the person's own: tags, and weights of classes."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fornada.spec.kinds.kind import Kind, any_of, found
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.kinds.text import Label, is_class_name, is_label
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.values import BALANCED, ClassWeights, is_index

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
            if is_index(key) and key not in node.quoted:
                self._weigh(indices, int(key), node, item, at.key(key))
            else:
                self._weigh(names, key, node, item, at.key(key))
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
            weights[key] = self.weight.parse(item, here)

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
        return any_of({"type": "object", "additionalProperties": value}, {"type": "null"})


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST_TAG and not set(text) & set("\n\r")
