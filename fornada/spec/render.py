"""Writes a spec as YAML, with every default written out."""

from collections.abc import Iterator
from pathlib import Path

from fornada.absolute_folders import absolute
from fornada.spec.source.flow_style import Unquoted, inline, quoted
from fornada.spec.source.nodes import Json
from fornada.spec.spec import Spec
from fornada.spec.values import ClassWeights

# Longest line, in characters. A longer list or mapping is written over several lines.
_WIDTH = 80


def to_yaml(spec: Spec, data_root: Path) -> str:
    """The effective spec as YAML, with absolute paths under `data_root`.

    `loads` of this text, with the same data root, gives a spec with the same hash.
    """
    document = absolute(spec.document(), data_root)
    if isinstance(spec.fit.class_weight, ClassWeights):
        document["fit"]["class_weight"] = _weights(spec.fit.class_weight)
    return "".join(f"{line}\n" for line in _mapping(document, ""))


def _weights(weights: ClassWeights) -> Json:
    """Class weights with indices as keys without quotes; a name like an index gets quotes.

    If an index and a name have the same text, the two groups of the document are kept, because
    YAML allows each key once.
    """
    if any(str(index) in weights.names for index in weights.indices):
        return weights.document()
    keys: dict[str, Json] = {Unquoted(index): weight for index, weight in weights.indices.items()}
    return keys | dict(weights.names)


def _mapping(mapping: dict[str, Json], indent: str) -> Iterator[str]:
    for name, value in mapping.items():
        yield from _entry(f"{indent}{quoted(name)}:", value, f"{indent}  ")


def _entry(head: str, value: Json, indent: str) -> Iterator[str]:
    """`head value` on one line if it fits, else `head` and the value on the lines below."""
    line = f"{head} {inline(value)}"
    nested = isinstance(value, dict | list) and bool(value)
    # A section is always written over several lines: that is easier to read and to change.
    section = not head.startswith((" ", "-"))
    if not nested or (len(line) <= _WIDTH and not section):
        yield line
        return
    yield head
    if isinstance(value, dict):
        yield from _mapping(value, indent)
    elif isinstance(value, list):
        for item in value:
            yield from _item(item, indent)


def _item(item: Json, indent: str) -> Iterator[str]:
    line = f"{indent}- {inline(item)}"
    if not isinstance(item, dict) or len(item) != 1 or len(line) <= _WIDTH:
        yield line.replace("- {", "- ", 1).removesuffix("}") if isinstance(item, dict) else line
        return
    ((name, arguments),) = item.items()
    yield from _entry(f"{indent}- {quoted(name)}:", arguments, f"{indent}    ")
