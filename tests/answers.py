"""Whether a document is what its TypedDict says: its keys, and the type of each value."""

import types
from collections.abc import Iterator
from enum import Enum
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)


def wrong(value: Any, expected: Any, path: str = "") -> list[str]:
    """Each place where the document differs from the type; empty when it does not.

    Args:
        value: the document, also as read from JSON, where an enum is its value.
        expected: a TypedDict, or any type that one holds.
        path: the place of `value`, for the answer.
    """
    return list(_wrong(value, expected, path))


def _wrong(value: Any, expected: Any, path: str) -> Iterator[str]:
    origin, arguments = get_origin(expected), get_args(expected)
    if is_typeddict(expected):
        yield from _wrong_document(value, expected, path)
    elif origin in (Union, types.UnionType):
        if all(wrong(value, each, path) for each in arguments):
            yield f"{path}: {value!r} is none of {expected}"
    elif origin is Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is not one of {arguments}"
    elif origin is list and isinstance(value, list):
        for place, item in enumerate(value):
            yield from _wrong(item, arguments[0], f"{path}[{place}]")
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from _wrong(item, arguments[1], f"{path}.{key}")
    elif not _is(value, origin or expected):
        yield f"{path}: {value!r} is not of {expected}"


def _wrong_document(value: Any, expected: Any, path: str) -> Iterator[str]:
    hints = get_type_hints(expected, include_extras=True)
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not a document"
        return
    for key in hints.keys() - optional - value.keys():
        yield f"{path}.{key} is missing"
    for key in value.keys() - hints.keys():
        yield f"{path}.{key} is not declared"
    for key in hints.keys() & value.keys():
        hint = get_args(hints[key])[0] if key in optional else hints[key]
        yield from _wrong(value[key], hint, f"{path}.{key}")


def _is(value: Any, expected: Any) -> bool:
    if expected is Any:
        return True
    if issubclass(expected, Enum):
        return value in set(expected)
    if expected is float:
        return type(value) in (int, float)
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
