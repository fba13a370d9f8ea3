"""Finds decimals that were written with a comma: `learning_rate: 0,001`.

Inside braces YAML reads a comma as the end of a value: `{learning_rate: 0,001}` has the names
`learning_rate` with the value 0, and `001` without a value.
"""

import re
from collections.abc import Container

from fornada.spec.source.nodes import Mapping, Node, Scalar

_WHOLE = re.compile(r"[-+]?[0-9]{1,15}", re.ASCII)
_REST = re.compile(r"[0-9]{1,15}([eE][-+]?[0-9]{1,3})?", re.ASCII)
# A text such as `0,001`.
_DECIMAL = re.compile(r"\s*[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]{1,3})?\s*%?\s*", re.ASCII)


def joined(node: Mapping, known: Container[str] = ()) -> Mapping:
    """The mapping with each decimal that a comma cut in two as one text again: `0,001`.

    Args:
        node: as YAML reads it.
        known: names that are never the second half of a number.
    """
    items: dict[str, Node] = {}
    last = ""
    for name, item in node.items.items():
        before = items.get(last)
        if name not in known and _is_rest(name, item) and _is_whole(before):
            assert isinstance(before, Scalar)  # noqa: S101  (narrowed above)
            text = f"{before.text},{name}"
            items[last] = Scalar(text, text, before.mark)
        else:
            items[name] = item
            last = name
    keys = {name: mark for name, mark in node.keys.items() if name in items}
    return Mapping(items, keys, node.mark, node.quoted)


def has_comma(text: str) -> bool:
    """Whether a text is a decimal with a comma."""
    return bool(_DECIMAL.fullmatch(text))


def _is_rest(name: str, item: Node) -> bool:
    nothing = isinstance(item, Scalar) and item.value is None and not item.text
    return nothing and bool(_REST.fullmatch(name))


def _is_whole(item: Node | None) -> bool:
    return isinstance(item, Scalar) and bool(_WHOLE.fullmatch(item.text))
