"""Kinds that are written as text: names and durations."""

import re
import unicodedata
from dataclasses import dataclass

from fornada.db.names import composed
from fornada.spec.kinds.kind import Kind, any_of, found
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.wording import clip

# Names of layers, queues and files, which other programs know too.
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_DURATION_SCHEMA = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?$"
# Most characters of a name.
_LONGEST_NAME = 64
# Refuses the ASCII characters that no name may have. JSON Schema knows no letters of Unicode, so
# the others are left to `is_name`.
_NAME_SCHEMA = "^[^\\u0000-,/:-@\\[-\\^`{-\\u009f]+$"
# A year, in seconds: longer than any training, and added to a date it is still a valid date.
_LONGEST_S = 366 * 86400
# Longest name of one folder in a file system, in characters.
_LONGEST_FOLDER = 255


@dataclass(frozen=True)
class Name(Kind):
    """The name of a job or a tag: for people, so in letters of any language."""

    words = 'a name of 1 to 64 letters of any language, digits, "_", "-" and ".", without ".."'

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(node, Scalar) and not isinstance(value, str) and is_name(node.text):
            hint = _in_quotes(node)
            raise self.refuse(node, at, f"{found(node)} is not text.", hint)
        if not isinstance(value, str):
            raise self.wrong(node, at)
        if not is_name(composed(value)):
            near = nearest_name(value)
            hint = f'\n  Did you mean "{near}"?' if near else ""
            raise self.refuse(node, at, f"{found(node)} is not accepted.", hint)
        return composed(value)

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": _NAME_SCHEMA}


def _in_quotes(node: Scalar) -> str:
    """The hint for a number or a boolean where a text is expected."""
    if node.python and isinstance(node.value, bool):
        # What was written is not known: `no`, `off` or `false`.
        return (
            "\n  PyYAML reads yes, no, on and off without quotes as true and false. Write the text "
            "in quotes, or give the file's path in place of a dict."
        )
    return f'\n  Did you mean "{clip(node.text)}", in quotes?'


def is_name(text: str) -> bool:
    """Whether `text`, in Unicode's form NFC, may name a job or a tag."""
    return (
        0 < len(text) <= _LONGEST_NAME
        and all(map(_in_name, text))
        # An accent at the beginning would be drawn on the character before the name.
        and unicodedata.category(text[0])[0] != "M"
        and ".." not in text
        and text != "."
    )


def nearest_name(text: str) -> str:
    """What can be kept of `text` as a name; empty if nothing can.

    >>> nearest_name("my run (final)")
    'my-run-final'
    """
    kept = "".join(letter if _in_name(letter) else " " for letter in composed(text))
    name = re.sub(r"\.{2,}", ".", "-".join(kept.split()))
    # A dash beside one that was there says nothing, and one at an end neither.
    name = re.sub(r"-*([-_.])-+", r"\1", name).strip("-")
    return name[:_LONGEST_NAME] if is_name(name[:_LONGEST_NAME]) else ""


def _in_name(letter: str) -> bool:
    # L: letters. M: accents on them. N: digits.
    return letter in "_-." or unicodedata.category(letter)[0] in "LMN"


@dataclass(frozen=True)
class Label(Kind):
    """A name of a layer, a queue or a file, in ASCII: other programs know it too."""

    words = 'a name of 1 to 64 letters, digits, "_", "-" and ".", without ".."'

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and is_label(value):
            return value
        if isinstance(node, Scalar) and not isinstance(value, str) and is_label(node.text):
            hint = _in_quotes(node)
            raise self.refuse(node, at, f"{found(node)} is not text.", hint)
        raise self.wrong(node, at)

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,64}$"}


def is_label(text: str) -> bool:
    """Whether `text` may name a layer, a queue or a file."""
    return bool(_LABEL.fullmatch(text)) and ".." not in text and text != "."


@dataclass(frozen=True)
class ClassName(Kind):
    """The name of a class: it is the name of the folder with the class's images."""

    words = "the name of a class's folder, in quotes if it looks like a number"

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, str):
            text = node.text if isinstance(node, Scalar) else ""
            hint = _in_quotes(node) if isinstance(node, Scalar) and text else ""
            raise self.refuse(node, at, f"{found(node)} is not text.", hint)
        if not is_class_name(value):
            raise self.wrong(node, at)
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST_FOLDER}


def is_class_name(text: str) -> bool:
    """Whether `text` can be the name of one folder."""
    return (
        0 < len(text) <= _LONGEST_FOLDER
        and not set(text) & set("/\n\r\t")
        and text not in (".", "..")
    )


@dataclass(frozen=True)
class Duration(Kind):
    """A time in seconds, written `2h`, `90m`, `1h30m` or as a number of seconds."""

    words = "a time above 0, such as 2h, 90m, 1h30m, 45s or a number of seconds"

    def parse(self, node: Node, at: At) -> float:
        value = node.value if isinstance(node, Scalar) else None
        seconds: float | None = None
        if isinstance(value, str) and len(value) <= 40 and (parts := _DURATION.fullmatch(value)):
            days, hours, minutes, rest = (float(part or 0) for part in parts.groups())
            seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        if seconds is None:
            raise self.wrong(node, at)
        if not 0 < seconds <= _LONGEST_S:
            raise self.refuse(node, at, f"{found(node)} is out of range.")
        return seconds

    def schema(self) -> dict[str, Json]:
        return any_of(
            {"type": "number", "exclusiveMinimum": 0, "maximum": _LONGEST_S},
            {"type": "string", "pattern": _DURATION_SCHEMA},
        )
