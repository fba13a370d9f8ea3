"""The values of unquoted scalars, by the core schema of YAML 1.2.

PyYAML is not used for this, because it follows YAML 1.1: there `no` is false, `012` is ten, `1:30`
is ninety and `1e-3` is text.
"""

import math
import re

from fornada.spec.source.nodes import Plain

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
# Without leading zeros: some YAML readers read 012 as ten and some as twelve, so it stays text.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Longer numbers are a mistake or an attack: int() is slow for them, and refuses over 4,300 digits.
MAX_DIGITS = 64


class NumberError(ValueError):
    """A number that a spec may not contain. The message says why."""


def resolve(text: str) -> Plain:
    """The value of an unquoted scalar.

    Raises:
        NumberError: the number is NaN, infinite, or longer than MAX_DIGITS characters.
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
    """Return `number` if it is finite. `text` is how the message shows it.

    Raises:
        NumberError: `number` is NaN or infinite.
    """
    if not math.isfinite(number):
        raise NumberError(f"{text} is not a finite number.")
    return number
