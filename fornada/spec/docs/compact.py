"""JSON in few lines that a diff still shows well: what fits on a line stands on one."""

import json

from fornada.spec.source.nodes import Json

_WIDTH = 120


def compact(value: Json, indent: int = 0, key: str = "") -> str:
    """JSON in which only what is longer than a line is broken, into its parts.

    >>> window = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "classes"}]}
    >>> print(compact({"pool_size": window, "strides": window, "padding": {"type": "string"}}))
    {
     "pool_size": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "classes"}]},
     "strides": {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "classes"}]},
     "padding": {"type": "string"}
    }
    """
    line = key + json.dumps(value)
    # One column is the comma's.
    if indent + len(line) < _WIDTH or not isinstance(value, dict | list):
        return line
    pad = "\n" + " " * indent
    if isinstance(value, dict):
        parts = [compact(item, indent + 1, f"{json.dumps(name)}: ") for name, item in value.items()]
        return f"{key}{{{pad} " + f",{pad} ".join(parts) + f"{pad}}}"
    if any(isinstance(item, dict | list) for item in value):
        lines = [compact(item, indent + 1) for item in value]
    else:
        lines = _filled([json.dumps(item) for item in value], _WIDTH - indent - 2)
    return f"{key}[{pad} " + f",{pad} ".join(lines) + f"{pad}]"


def _filled(words: list[str], width: int) -> list[str]:
    """As many words a line as fit."""
    lines = words[:1]
    for word in words[1:]:
        longer = f"{lines[-1]}, {word}"
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
