"""Writes values in YAML's flow style, which is on one line: `{units: 3, activation: softmax}`."""

import json
import re

from fornada.spec.source.nodes import Json
from fornada.spec.source.scalars import NumberError, resolve

# Text that needs no quotes anywhere in YAML.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*", re.ASCII)


class Unquoted(str):
    """A text that is written without quotes."""

    __slots__ = ()


def inline(value: Json) -> str:
    """A value on one line.

    >>> inline({"units": 3, "activation": "softmax", "scale": [0.5, "a b"]})
    '{units: 3, activation: softmax, scale: [0.5, "a b"]}'

    Raises:
        ValueError: a number is not finite.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(k)}: {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    return json.dumps(value, allow_nan=False)


def quoted(text: str) -> str:
    """A text, in quotes if YAML would read something else without them.

    >>> quoted("softmax"), quoted("true"), quoted(Unquoted("1/255"))
    ('softmax', '"true"', '1/255')
    """
    if isinstance(text, Unquoted):
        return str(text)
    try:
        if _PLAIN.fullmatch(text) and resolve(text) == text:
            return text
    except NumberError:
        pass
    return json.dumps(text, ensure_ascii=False)
