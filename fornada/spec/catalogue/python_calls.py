"""Writes a call in Python, such as `Dense(3, activation="softmax")`, as a spec writes it.

The text is parsed and never evaluated.
"""

import ast
import re
from collections.abc import Iterable

from fornada.spec.source.flow_style import Unquoted, inline
from fornada.spec.source.nodes import Json

_CALL = re.compile(r"\s*(?:\w+\.)*([A-Za-z_]\w*)\(")
# Longest text that is parsed, in characters. A deeply nested text could exhaust the parser.
_LONGEST = 1000


class _NotWritable(Exception):  # control flow: the call has something that a spec cannot have
    pass


def called(text: str) -> str | None:
    """The class that a text calls, as in `layers.Dense(3)`; None if it calls none."""
    call = _CALL.match(text)
    return call[1] if call else None


def as_yaml(text: str, names: Iterable[str]) -> str | None:
    """A call as a spec writes it, such as `Dense: {units: 3}`.

    Args:
        text: a call in Python.
        names: of the arguments, in Keras's order, for arguments that the call gives by position.
    Returns:
        None if the text is no complete call, or has something that a spec cannot have.
    """
    if len(text) > _LONGEST:
        return None
    try:
        node = ast.parse(text.strip().rstrip(","), mode="eval").body
        if not isinstance(node, ast.Call):
            return None
        return _item(_call(node, tuple(names)))
    except (SyntaxError, ValueError, RecursionError, MemoryError, _NotWritable):
        return None


def _item(written: Json) -> str:
    """An item of a list, without the braces around its only name."""
    if isinstance(written, dict):
        ((name, arguments),) = written.items()
        return f"{name}: {inline(arguments)}"
    return inline(written)


def _call(node: ast.Call, names: tuple[str, ...]) -> Json:
    name = _last_name(node.func)
    if len(node.args) > len(names) or any(keyword.arg is None for keyword in node.keywords):
        raise _NotWritable
    given: dict[str, Json] = {
        argument: _value(value) for argument, value in zip(names, node.args, strict=False)
    }
    given |= {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    return {name: given} if given else name


def _last_name(node: ast.expr) -> str:
    """`Dense` of `keras.layers.Dense`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    raise _NotWritable


def _value(node: ast.expr) -> Json:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.BinOp(
            left=ast.Constant(value=int() | float() as above),
            op=ast.Div(),
            right=ast.Constant(value=int() | float() as below),
        ):
            return Unquoted(f"{above:g}/{below:g}")
        # The arguments of another class have other names.
        case ast.Call():
            return _call(node, ())
        case _:
            raise _NotWritable
