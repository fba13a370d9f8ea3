"""Values that must survive any database: numbers that are not finite, texts with odd bytes.

JSON has no word for NaN and infinity. In a JSON column, and so in every document read from one,
they are the strings "NaN", "Infinity" and "-Infinity", as on the trainer's pipe. In a column of
numbers NaN is null (SQLite knows no other), infinity is itself.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, Dialect, Double, Text
from sqlalchemy.types import TypeDecorator


def plain(value: Any) -> Any:
    """A value as JSON can hold it: non-finite numbers become strings, tuples lists.

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


class Json(TypeDecorator[Any]):
    """A document; the order of its keys is kept (so JSON on PostgreSQL, not JSONB)."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return plain(value)


class Float(TypeDecorator[float]):
    """A number with all its digits; NaN becomes null."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else value


class SafeText(TypeDecorator[str]):
    """A text; what PostgreSQL or UTF-8 cannot hold is written as an escape.

    File names and tracebacks come from outside: they may hold NUL and undecoded bytes.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
