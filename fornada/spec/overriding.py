"""Applies overrides such as `data.batch_size=128` to the nodes of a spec, before these are read.

The part before `=` is a dotted path. An item of a list is named by its index, from 0, or by its
class if only one item has this class: `model.3.Dense.units`, `callbacks.EarlyStopping.patience`.
"""

import re
from collections.abc import Sequence as SequenceOf
from typing import Self

from fornada.db.names import composed
from fornada.spec.checks import full_paths
from fornada.spec.kinds.reading import Reading
from fornada.spec.problems import Problem, SpecProblems
from fornada.spec.source.nodes import Mapping, Mark, Node, Scalar, Sequence, written_name
from fornada.spec.wording import clip, did_you_mean, listed

# Names in these sections may contain dots, so everything after the prefix is one name.
_NAMES_WITH_DOTS = ("tags.", "fit.class_weight.")
# A message names at most this many full paths.
_SUGGESTED = 8
# A name in quotes.
_QUOTED = re.compile(r"\"[^\"]+\"|'[^']+'")


class Given(str):
    """An override that was given in another way than `--set`: `tags.owner=ana` by `--tag`.

    Attributes:
        shown: what the person gave, for messages.
    """

    shown: str

    def __new__(cls, override: str, shown: str) -> Self:
        """See the class."""
        made = super().__new__(cls, override)
        made.shown = shown
        return made


class _Misplaced(Exception):  # carries a message to `apply`, which always catches it
    pass


def apply(root: Node, overrides: SequenceOf[str], reading: Reading) -> Node:
    """Apply `overrides` to the nodes of a spec, and return its root.

    An override that cannot be applied is recorded as a problem.

    Args:
        root: changed in place.
        overrides: each `PATH=VALUE`; a later one wins.
        reading: gets the problems.
    """
    for override in overrides:
        shown = clip(override.shown if isinstance(override, Given) else f"--set {override}")
        mark = Mark(override=shown)
        path, _, value = override.partition("=")
        try:
            _apply_one(root, path.strip(), value, mark)
        except SpecProblems as error:
            codes = [(str(problem.message), problem.code) for problem in error.problems]
            reading.problems += [Problem(shown, None, path, what, code) for what, code in codes]
        except _Misplaced as error:
            reading.problems.append(Problem(shown, None, clip(path), str(error)))
    return root


def _apply_one(root: Node, path: str, value: str, mark: Mark) -> None:
    if not path or not value.strip():
        raise _Misplaced("is not PATH=VALUE.\n  Expected, for example, data.batch_size=128.")
    if value.lstrip().startswith("#"):
        raise _Misplaced(
            "has no value, because # begins a comment.\n"
            f"  Expected quotes that the shell does not remove: '\"{clip(value.strip())}\"'."
        )
    # Imported here, because PyYAML takes longer to import than this whole package.
    from fornada.spec.source import yaml_text

    node = _marked(yaml_text.read(value, str(mark.override)), mark)
    # If the spec is not a mapping, that is reported when it is read.
    if isinstance(root, Mapping):
        parts = _split(path)
        if meant := full_paths.ending_in(root, parts):
            raise _Misplaced(
                f"a spec has no section {clip(parts[0])}.\n"
                f"  Expected the full path: {listed(meant, _SUGGESTED)}."
            )
        _put(root, parts, node, mark)


def _split(path: str) -> list[str]:
    for prefix in _NAMES_WITH_DOTS:
        if path.startswith(prefix):
            name = path[len(prefix) :]
            return [*prefix.rstrip(".").split("."), composed(name) if prefix == "tags." else name]
    return path.split(".")


def _marked(node: Node, mark: Mark) -> Node:
    """The node, with `mark` as the place of it and of everything in it."""
    node.mark = mark
    if isinstance(node, Sequence):
        for item in node.items:
            _marked(item, mark)
    elif isinstance(node, Mapping):
        node.keys = dict.fromkeys(node.keys, mark)
        for item in node.items.values():
            _marked(item, mark)
    return node


def _put(root: Mapping, parts: list[str], value: Node, mark: Mark) -> None:
    """Set the value at a path, given as its parts."""
    node: Node = root
    for depth, part in enumerate(parts[:-1]):
        node = _child(node, part, parts[depth + 1], parts[:depth], mark)
    where, last = parts[:-1], parts[-1]
    if isinstance(node, Sequence):
        index = _index(node, last, where)
        named = Mapping({last: value}, {last: mark}, mark)
        node.items[index] = value if _is_index(last) else named
    elif isinstance(node, Mapping):
        _put_named(node, last, value, where, mark)
    else:
        raise _cannot_hold(node, last, where)


def _put_named(node: Mapping, written: str, value: Node, where: list[str], mark: Mark) -> None:
    """Set one name of a mapping. In class_weight `"1"` is the name of a class, and `1` an index."""
    name = written[1:-1] if _QUOTED.fullmatch(written) else written
    if name != written and name in node.items and name not in node.quoted:
        raise _Misplaced(
            f"{'.'.join(where)} has {name} without quotes.\n  Expected no quotes here, too."
        )
    if name != written:
        node.quoted.add(name)
    node.items[name] = value
    node.keys[name] = mark


def _child(node: Node, part: str, following: str, where: list[str], mark: Mark) -> Node:
    """The node at `part` of a node, made a mapping if necessary, so that it can hold `following`.

    Args:
        part: name or index of the wanted node.
        following: the next part of the path.
        where: the parts before `part`, for messages.
        mark: of the override.
    """
    here = [*where, part]
    if isinstance(node, Sequence):
        index = _index(node, part, where)
        wanted = following if _is_index(part) else part
        node.items[index] = item = _able_to_hold(node.items[index], wanted, here, mark)
        return item if _is_index(part) else _child(item, part, following, where, mark)
    if isinstance(node, Scalar):
        raise _cannot_hold(node, part, where)
    below = node.items.get(part) or Mapping({}, {}, mark)
    node.keys.setdefault(part, mark)
    node.items[part] = below = _able_to_hold(below, following, here, mark)
    return below


def _able_to_hold(node: Node, wanted: str, where: list[str], mark: Mark) -> Node:
    """A node that can hold `wanted`: `Flatten` becomes `{Flatten: {}}`, and null becomes `{}`.

    Raises:
        _Misplaced: the node is an object of another class.
    """
    if isinstance(node, Scalar) and node.value is None:
        return Mapping({}, {}, node.mark)
    if isinstance(node, Scalar) and node.value == wanted:
        inner = Mapping({}, {}, node.mark)
        return Mapping({wanted: inner}, {wanted: node.mark}, node.mark)
    # Names of arguments are lower case, so a single name with a capital letter is a class.
    name = written_name(node)
    if name is not None and name != wanted and (isinstance(node, Scalar) or name[:1].isupper()):
        raise _cannot_hold(node, wanted, where)
    return node


def _is_index(part: str) -> bool:
    # A spec has at most 10,000 values, so five digits are enough for every index.
    return part.isascii() and part.isdigit() and len(part) <= 5


def _index(node: Sequence, part: str, where: list[str]) -> int:
    place = ".".join(where)
    if _is_index(part):
        if int(part) < len(node.items):
            return int(part)
        raise _Misplaced(f"{place} has {len(node.items)} items.\n  Expected an index from 0.")
    names = [written_name(item) for item in node.items]
    if names.count(part) == 1:
        return names.index(part)
    if part in names:
        indices = [index for index, name in enumerate(names) if name == part]
        places = ", ".join(f"{place}.{index}" for index in indices)
        raise _Misplaced(f"{len(indices)} items are {clip(part)} in {place}: {places}.")
    listed = ", ".join(f"{index}.{name}" for index, name in enumerate(names))
    raise _Misplaced(
        f"no item is {clip(part)} in {place}.\n  Expected one of: {listed}."
        f"{did_you_mean(part, [name for name in names if name])}"
    )


def _cannot_hold(node: Node, wanted: str, where: list[str]) -> _Misplaced:
    """The exception for a node that cannot hold `wanted`."""
    name = written_name(node)
    shown = name if name is not None else getattr(node, "text", "a list")
    hint = did_you_mean(wanted, [name]) if name else ""
    return _Misplaced(
        f"{'.'.join(map(clip, where))} is {clip(shown)}, which has no {clip(wanted)}.{hint}"
    )
