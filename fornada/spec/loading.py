"""Reads a spec from a file, a text or a document, and reports all problems at once."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fornada.db.names import composed
from fornada.db.states import FailureCode
from fornada.spec import changes, overriding
from fornada.spec.checks import across_fields
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.kinds.text import Name, is_name, nearest_name
from fornada.spec.problems import Problem, SpecProblems
from fornada.spec.sections import TOP
from fornada.spec.source import json_document, nodes
from fornada.spec.source.limits import MAX_BYTES
from fornada.spec.source.nodes import Node
from fornada.spec.spec import GivenFolders, Spec, build
from fornada.spec.wording import clip

_NO_NAME = "spec"


class PartlyRead(SpecProblems):
    """A spec is refused, but its folders could be read, so their problems can be found too.

    Attributes:
        folders: those that could be read.
    """

    def __init__(self, problems: Iterable[Problem], folders: GivenFolders) -> None:
        super().__init__(problems)
        self.folders = folders


def load(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    data_root: Path = Path("/"),
    base: Path | None = None,
) -> Spec:
    """Read and check a spec from a file.

    Args:
        path: a YAML file of at most 256 KiB.
        overrides: changes such as `data.batch_size=128`, checked like the file.
        data_root: folder that must contain every path.
        base: folder that relative paths start from; default: the current one.

    Raises:
        SpecProblems: with all problems of the spec; also if the file cannot be read.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            # One byte more than allowed: enough to see that a file is too long.
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}."
        problem = Problem(file, None, "", message, FailureCode.SPEC_SYNTAX)
        raise SpecProblems([problem]) from error
    root = _nodes(content, file)
    reading = Reading(file, data_root, base or Path.cwd())
    return _read(root, reading, overrides, path.stem)


def loads(
    content: str | bytes,
    *,
    file: str = "<spec>",
    overrides: Sequence[str] = (),
    data_root: Path = Path("/"),
    base: Path | None = None,
) -> Spec:
    """Read and check a spec from YAML text.

    Args:
        content: YAML.
        file: name of the spec in problems.
        overrides: as in `load`.
        data_root: as in `load`.
        base: as in `load`.

    Raises:
        SpecProblems: with all problems of the spec.
    """
    root = _nodes(content, file)
    reading = Reading(file, data_root, base or Path.cwd())
    stem = _NO_NAME if file.startswith("<") else Path(file).stem
    return _read(root, reading, overrides, stem)


def from_python(
    content: Mapping[str, Any], *, overrides: Sequence[str] = (), data_root: Path = Path("/")
) -> Spec:
    """Check a spec that a Python program built, or read with PyYAML.

    PyYAML follows YAML 1.1, in which `1e-3` is text. Where a number is expected, this text is the
    number that it is in a file.

    Args:
        content: the spec as a dictionary; indices of classes are integers, as in Keras.
        overrides: as in `load`.
        data_root: as in `load`.

    Raises:
        SpecProblems: with all problems of the spec.
    """
    reading = Reading("<spec>", data_root, Path.cwd())
    root = json_document.read(content, reading.file, python=True)
    return _read(root, reading, overrides, _NO_NAME)


def from_document(
    content: Mapping[str, Any],
    *,
    file: str = "<document>",
    overrides: Sequence[str] = (),
    data_root: Path = Path(os.sep),
    base: Path | None = None,
) -> Spec:
    """Check an effective document. Its paths are relative to the data root.

    A document that an earlier version recorded gets the meaning of this version. A warning says
    what changed.

    Args:
        content: as `Spec.document` gives it.
        file: name of the document in problems.
        overrides: as in `load`.
        data_root: as in `load`; only used if `base` is given.
        base: folder that the paths are relative to; None: paths are not resolved here.

    Raises:
        SpecProblems: with all problems of the document.
    """
    content, notes = changes.upgrade(content)
    reading = Reading(file, data_root, base, recorded=True)
    for sentence in notes:
        At(reading).warn(sentence)
    root = json_document.read(content, reading.file)
    _flatten_weights(root)
    return _read(root, reading, overrides, _NO_NAME)


def _flatten_weights(root: Node) -> None:
    """Replace the two groups of class weights by one mapping, as a person writes them.

    So an override such as `fit.class_weight.0=2` finds its key.
    """
    fit = root.items.get("fit") if isinstance(root, nodes.Mapping) else None
    weights = fit.items.get("class_weight") if isinstance(fit, nodes.Mapping) else None
    if not isinstance(fit, nodes.Mapping) or not isinstance(weights, nodes.Mapping):
        return
    index, name = (weights.items.get(part) for part in ("index", "name"))
    if not isinstance(index, nodes.Mapping) or not isinstance(name, nodes.Mapping):
        return
    # If an index and a name have the same text, the two groups must stay.
    if set(weights.items) == {"index", "name"} and not set(index.items) & set(name.items):
        items = {**index.items, **name.items}
        keys = {**index.keys, **name.keys}
        fit.items["class_weight"] = nodes.Mapping(items, keys, weights.mark, set(name.items))


def _read(root: Node, reading: Reading, overrides: Sequence[str], name: str) -> Spec:
    """Read the nodes of a spec; `name` is its name if it gives none, as far as that can be one."""
    at = At(reading)
    at.record_mark(root.mark)
    root = overriding.apply(root, overrides, reading)
    values = TOP.parse(root, at)
    across_fields.check(values, at)
    if reading.problems:
        raise PartlyRead(reading.problems, GivenFolders.of(values.get("data", {}), at))
    name = composed(name)
    kept = name if is_name(name) else nearest_name(name) or _NO_NAME
    if not values["name"] and kept != name:
        at.key("name").warn(
            f'the file\'s name "{clip(name)}" cannot be the name of the job, which is "{kept}" now.'
            f"\n  A name has {Name().words.removeprefix('a name of ')}."
        )
    return build(values, kept, at)


def _nodes(content: bytes | str, file: str) -> Node:
    # Imported here, because PyYAML takes longer to import than this whole package.
    from fornada.spec.source import yaml_text

    return yaml_text.read(content, file)
