"""Kinds that are written as text: names and durations."""

import re
from dataclasses import dataclass

from fornada.spec.kinds.kind import Kind, any_of, found
from fornada.spec.kinds.reading import At
from fornada.spec.source.nodes import Json, Node, Scalar
from fornada.spec.wording import clip

# Names of jobs, layers, queues, tags and files.
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_DURATION_SCHEMA = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?$"
# A year, in seconds: longer than any training, and added to a date it is still a valid date.
_LONGEST_S = 366 * 86400
# Longest name of one folder in a file system, in characters.
_LONGEST_FOLDER = 255


@dataclass(frozen=True)
class Label(Kind):
    """A name: of a job, a layer, a queue, a file."""

    words = 'a name of 1 to 64 letters, digits, "_", "-" and ".", without ".."'

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, str) and is_label(value):
            return value
        if isinstance(node, Scalar) and not isinstance(value, str) and is_label(node.text):
            hint = f'\n  Did you mean "{node.text}", in quotes?'
            raise self.refuse(node, at, f"{found(node)} is not text.", hint)
        raise self.wrong(node, at)

    def schema(self) -> dict[str, Json]:
        return {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,64}$"}


def is_label(text: str) -> bool:
    """Whether `text` may name a job, a layer, a queue or a file."""
    return bool(_LABEL.fullmatch(text)) and ".." not in text and text != "."


@dataclass(frozen=True)
class ClassName(Kind):
    """The name of a class: it is the name of the folder with the class's images."""

    words = "the name of a class's folder, in quotes if it looks like a number"

    def parse(self, node: Node, at: At) -> str:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(value, str):
            text = node.text if isinstance(node, Scalar) else ""
            hint = f'\n  Did you mean "{clip(text)}", in quotes?' if text else ""
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
