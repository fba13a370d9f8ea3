"""Kinds that are mappings under names of the person's own: tags, and weights of classes."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fornada.spec.kinds.kind import Kind, any_of, found
from fornada.spec.kinds.plain import Number
from fornada.spec.kinds.reading import At, Refused
from fornada.spec.kinds.text import Label, is_class_name, is_label
from fornada.spec.source import nodes
from fornada.spec.source.nodes import Json, Node, Scalar

# Letters of a tag's text.
_LONGEST_TAG = 255


@dataclass(frozen=True)
class Weights(Kind):
    """A weight for each of some classes."""

    words = "{class: weight}, each class an index from 0 or a class's name, each weight 0 or more"
    weight = Number(minimum=0)

    def parse(self, node: Node, at: At) -> Mapping[str, float]:
        if not isinstance(node, nodes.Mapping) or not node.items:
            raise self.wrong(node, at)
        weights: dict[str, float] = {}
        for name, item in node.items.items():
            here = at.key(name)
            here.seen(node.keys[name])
            if not is_class_name(name):
                here.refuse(node.keys[name], f"is no class.\n  Expected {self.words}.")
                continue
            with suppress(Refused):
                weights[name] = self.weight.parse(item, here)
        return weights

    def schema(self) -> dict[str, Json]:
        return {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": self.weight.schema(),
        }


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
