"""What a plain scalar means: YAML 1.2's core schema, read strictly.

PyYAML follows YAML 1.1, where `no` is false, `012` is ten, `1:30` is ninety and `1e-3` is text.
"""

import math
import re

from fornada.spec.source.nodes import Plain

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
# No leading zeros: 012 means ten to some readers and twelve to others, so it stays text.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Longer numbers are a mistake or an attack: int() refuses 4,300 digits and is slow before.
MAX_DIGITS = 64


class NumberError(ValueError):
    """A number that no spec may hold; the message says why."""


def resolve(text: str) -> Plain:
    """The value of an unquoted scalar.

    Raises:
        NumberError: NaN, infinity, or more digits than any argument needs.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NOT_FINITE.fullmatch(text):
        raise NumberError(f"{text} is not a finite number.")
    if not _FLOAT.fullmatch(text):
        return text
    if len(text) > MAX_DIGITS:
        raise NumberError(f"a number of {len(text)} characters; at most {MAX_DIGITS} are read.")
    if _INTEGER.fullmatch(text):
        return int(text)
    return finite(float(text), text)


def finite(number: float, text: str) -> float:
    """`number`, unless it is NaN or infinite.

    Raises:
        NumberError: it is.
    """
    if not math.isfinite(number):
        raise NumberError(f"{text} is not a finite number.")
    return number
