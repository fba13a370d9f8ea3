"""Finds the full path of a value that an override names without the beginning of its path."""

from collections.abc import Iterator

from fornada.spec.catalogue import FAMILIES
from fornada.spec.kinds.fields import Fields
from fornada.spec.sections import COMPILE, DATA, FIT, RESOURCES, RETRY, TOP
from fornada.spec.source.nodes import Mapping, Node, Sequence, written_name

_SECTIONS: dict[str, Fields] = {
    "data": DATA,
    "compile": COMPILE,
    "fit": FIT,
    "resources": RESOURCES,
    "retry": RETRY,
}
_Path = tuple[str, ...]


def ending_in(root: Mapping, parts: list[str]) -> list[str]:
    """The full paths that end in these parts, such as `compile.optimizer.Adam.learning_rate`.

    If no path ends like this, those that have all the parts in this order and end in the last one:
    `optimizer.learning_rate`, without the class. Upper and lower case are the same.

    Args:
        root: the spec as written; it decides which layers and optimizers there are.
        parts: of the path; the first is no section.
    """
    if parts[0] in TOP.fields:
        return []
    wanted = tuple(part.lower() for part in parts)
    paths = dict.fromkeys(_paths(root))
    lower = {path: tuple(part.lower() for part in path) for path in paths}
    found = [path for path in paths if lower[path][-len(wanted) :] == wanted]
    found = found or [
        path
        for path in paths
        if lower[path][-1] == wanted[-1] and _in_this_order(wanted, lower[path])
    ]
    return [".".join(path) for path in found]


def _in_this_order(parts: _Path, path: _Path) -> bool:
    rest = iter(path)
    return all(part in rest for part in parts)


def _paths(root: Mapping) -> Iterator[_Path]:
    for section, fields in _SECTIONS.items():
        yield from ((section, name) for name in fields.fields)
    for section in TOP.fields:
        if section in root.items:
            yield from _below(root.items[section], (section,))


def _below(node: Node, path: _Path) -> Iterator[_Path]:
    """The paths inside a node: those that are written, and the arguments of written classes."""
    name = written_name(node)
    for family in FAMILIES.values():
        if name is not None and name in family.entries:
            yield (*path, name)
            yield from ((*path, name, argument) for argument in family.arguments[name].fields)
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from _below(item, (*path, str(index)))
    elif isinstance(node, Mapping):
        for key, item in node.items.items():
            yield (*path, key)
            yield from _below(item, (*path, key))
