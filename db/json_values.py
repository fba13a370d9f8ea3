"""Column types for values that a database cannot store as they are: NaN, infinity and odd text.

JSON has no NaN and no infinity. In a JSON column they are the strings "NaN", "Infinity" and
"-Infinity", as in the trainer's messages; every document read from such a column has them too. In a
column of numbers NaN is null, because SQLite stores it so, and infinity is stored as infinity.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, Dialect, Double, Text
from sqlalchemy.types import TypeDecorator

from fornada.db import printable


def plain(value: Any) -> Any:
    """Convert a value to what JSON can hold: NaN and infinity become strings, tuples become lists.

    >>> plain({"loss": float("nan"), "range": (0, float("-inf"))})
    {'loss': 'NaN', 'range': [0, '-Infinity']}
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def read_json(text: str | bytes) -> Any:
    """Read the text of a JSON column.

    A text that Python cannot read gives a sentence in its place, and no error: one bad row must not
    break the query that returns it among others. Nothing that we write is such a text, but whoever
    may write to the database could write lists that are nested thousands deep.

    In the texts of the document, characters that control a terminal become escapes.
    """
    try:
        read = text.decode() if isinstance(text, bytes) else text
        value = json.loads(read)
        # Most documents have no escape, and need no second look.
        return value if "\\u" not in read and read.isprintable() else printable.document(value)
    except (ValueError, RecursionError) as error:
        return f"(this value cannot be read: {type(error).__name__})"


class Json(TypeDecorator[Any]):
    """A JSON document that keeps the order of its keys: on PostgreSQL it is JSON, not JSONB."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return plain(value)


class Float(TypeDecorator[float]):
    """A float in double precision; NaN becomes null."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else value


class SafeText(TypeDecorator[str]):
    """A text. Characters that PostgreSQL or UTF-8 cannot store are written as escapes.

    File names and tracebacks come from outside, so they may contain NUL and undecoded bytes. What
    is read is one line without characters that control a terminal.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else printable.line(value)


class SafeLines(SafeText):
    """A text of several lines, such as a traceback."""

    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else printable.lines(value)
