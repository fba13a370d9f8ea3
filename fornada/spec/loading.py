"""A spec from a file, a text or a document, with every problem found at once."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fornada.db.states import FailureCode
from fornada.spec import changes, overriding
from fornada.spec.checks import across_fields
from fornada.spec.kinds.reading import At, Reading
from fornada.spec.kinds.text import is_label
from fornada.spec.limits import MAX_BYTES
from fornada.spec.problems import Problem, SpecProblems
from fornada.spec.sections import TOP
from fornada.spec.source import json_document, nodes
from fornada.spec.source.nodes import Node
from fornada.spec.spec import Spec, build

_NO_NAME = "spec"


def load(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    data_root: Path = Path("/"),
    base: Path | None = None,
) -> Spec:
    """Read and check a spec's file.

    Args:
        path: a YAML file, of at most 256 KiB.
        overrides: such as `data.batch_size=128`, typed and checked like the file.
        data_root: folder that every path must lie under.
        base: folder that paths are taken from; default: the current one.

    Raises:
        SpecProblems: with everything that is wrong, or that the file cannot be read.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            # One byte more than allowed tells a file that is too long from one that just fits.
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}."
        problem = Problem(file, None, "", message, FailureCode.SPEC_SYNTAX)
        raise SpecProblems([problem]) from error
    root = _nodes(content, file)
    reading = Reading(file, data_root, base or Path.cwd())
    return _read(root, reading, overrides, _name_of(path))


def loads(
    content: str | bytes,
    *,
    file: str = "<spec>",
    overrides: Sequence[str] = (),
    data_root: Path = Path("/"),
    base: Path | None = None,
) -> Spec:
    """Read and check a spec's text; as `load`.

    Args:
        content: YAML.
        file: how problems name it.
        overrides: as in `load`.
        data_root: as in `load`.
        base: as in `load`.

    Raises:
        SpecProblems: with everything that is wrong.
    """
    root = _nodes(content, file)
    reading = Reading(file, data_root, base or Path.cwd())
    return _read(root, reading, overrides, _name_of(Path(file)))


def from_python(
    content: Mapping[str, Any], *, overrides: Sequence[str] = (), data_root: Path = Path("/")
) -> Spec:
    """Check a spec that a program has put together; as `loads`.

    Args:
        content: as the YAML would be read; indices of classes are integers, as in Keras.
        overrides: as in `load`.
        data_root: as in `load`.

    Raises:
        SpecProblems: with everything that is wrong.
    """
    reading = Reading("<spec>", data_root, Path.cwd())
    return _read(json_document.read(content, reading.file), reading, overrides, _NO_NAME)


def from_document(
    content: Mapping[str, Any],
    *,
    file: str = "<document>",
    overrides: Sequence[str] = (),
    data_root: Path = Path(os.sep),
    base: Path | None = None,
) -> Spec:
    """Check an effective document, whose paths are relative to the data root.

    What an earlier version recorded is read as this one means it, with a warning that says so.

    Args:
        content: as `Spec.document` gives it.
        file: how problems name it.
        overrides: as in `load`.
        data_root: as in `load`; only where `base` is given.
        base: folder that the paths are relative to; None: the data root, wherever that is.

    Raises:
        SpecProblems: with everything that is wrong.
    """
    content, told = changes.modern(content)
    reading = Reading(file, data_root, base, recorded=True)
    for sentence in told:
        At(reading).warn(sentence)
    root = json_document.read(content, reading.file)
    _flatten_weights(root)
    return _read(root, reading, overrides, _NO_NAME)


def _flatten_weights(root: Node) -> None:
    """Write class weights as a person does, so that an override finds its key among them."""
    fit = root.items.get("fit") if isinstance(root, nodes.Mapping) else None
    weights = fit.items.get("class_weight") if isinstance(fit, nodes.Mapping) else None
    if not isinstance(fit, nodes.Mapping) or not isinstance(weights, nodes.Mapping):
        return
    index, name = (weights.items.get(part) for part in ("index", "name"))
    if not isinstance(index, nodes.Mapping) or not isinstance(name, nodes.Mapping):
        return
    # Index and name of one spelling stay apart.
    if set(weights.items) == {"index", "name"} and not set(index.items) & set(name.items):
        items = {**index.items, **name.items}
        keys = {**index.keys, **name.keys}
        fit.items["class_weight"] = nodes.Mapping(items, keys, weights.mark, set(name.items))


def _read(root: Node, reading: Reading, overrides: Sequence[str], name: str) -> Spec:
    at = At(reading)
    at.record_mark(root.mark)
    root = overriding.apply(root, overrides, reading)
    values = TOP.parse(root, at)
    across_fields.check(values, at)
    if reading.problems:
        raise SpecProblems(reading.problems)
    return build(values, name, at)


def _name_of(path: Path) -> str:
    return path.stem if is_label(path.stem) else _NO_NAME


def _nodes(content: bytes | str, file: str) -> Node:
    # PyYAML takes longer to import than all of this package.
    from fornada.spec.source import yaml_text

    return yaml_text.read(content, file)
