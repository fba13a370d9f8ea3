"""Texts from outside, without characters that control a terminal or forge a line.

What the database holds may have been written by hand. So each text is made harmless where it is
read, and everything that shows it may print it as it is.
"""

import re
from typing import Any

# Controls of terminals (C0, DEL, C1), ends of lines, signs that turn the direction of writing, the
# byte order mark, and halves of characters.
_CONTROLS = "".join(
    [
        *("[\x00-\x1f\x7f-\x9f", "\u2028\u2029"),
        *("\u061c\u200e\u200f", "\u202a-\u202e", "\u2066-\u2069", "\ufeff", "\ud800-\udfff]"),
    ]
)
_IN_LINE = re.compile(_CONTROLS)
_IN_LINES = re.compile(f"(?![\n\t]){_CONTROLS}")


def line(text: str) -> str:
    """The text on one line; each character that could do harm as an escape.

    >>> line("a\\x1b[2J\\nb")
    'a\\\\x1b[2J\\\\nb'
    """
    return text if text.isprintable() else _IN_LINE.sub(_escape, text)


def lines(text: str) -> str:
    """The text with its lines and tabs; each other character that could do harm as an escape."""
    return text if text.isprintable() else _IN_LINES.sub(_escape, text)


def document(value: Any) -> Any:
    """A JSON document whose texts, names too, are made harmless as `lines` makes them."""
    if isinstance(value, str):
        return lines(value)
    if isinstance(value, dict):
        return {lines(key): document(item) for key, item in value.items()}
    if isinstance(value, list):
        return [document(item) for item in value]
    return value


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
