"""Reads specs from files, from a pipe, and from documents.

This module must not import the database, so that `fornada check` starts quickly.
"""

import errno
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fornada.db.states import FailureCode
from fornada.settings import Settings
from fornada.spec import Problem, Spec, SpecProblems, loads
from fornada.spec import load as load_file
from fornada.spec.loading import from_document, from_python
from fornada.spec.overriding import Given
from fornada.spec.source.limits import MAX_BYTES

# The file name that means: read the spec from standard input.
STDIN = "-"
# The name of that file in problems.
STDIN_NAME = "<stdin>"

Source: TypeAlias = Spec | Path | str | Mapping[str, Any]
# Overrides: texts such as `fit.epochs=3`, or values by their places: `{"fit.epochs": 3}`.
Changes: TypeAlias = Iterable[str] | Mapping[str, Any]


def load(settings: Settings, source: Source, *, overrides: Sequence[str] = ()) -> Spec:
    """Read and check a spec.

    Args:
        settings: give the data root.
        source: a file, a document, or a spec that was already read.
        overrides: changes such as `data.batch_size=128`, checked like the file.
    Raises:
        SpecProblems: with all problems of the spec.
    """
    root = settings.data_root_path
    if isinstance(source, Spec):
        if not overrides:
            return source
        return recorded(settings, source.document(), overrides=overrides)
    if isinstance(source, Mapping):
        return from_python(source, overrides=overrides, data_root=root)
    if str(source) == STDIN:
        return loads(_standard_input(), file=STDIN_NAME, overrides=overrides, data_root=root)
    return load_file(Path(source), overrides=overrides, data_root=root)


def _standard_input() -> bytes:
    """What stands in standard input.

    Raises:
        SpecProblems: it is closed, or cannot be read.
    """
    try:
        # One byte more than allowed: enough to see that a text is too long.
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        what = "is closed" if error.errno == errno.EBADF else f"cannot be read: {error.strerror}"
        message = f"{what}.\n  Expected a spec there, because its file is given as {STDIN}."
        problem = Problem(STDIN_NAME, None, "", message, FailureCode.SPEC_SYNTAX)
        raise SpecProblems([problem]) from error


def recorded(
    settings: Settings,
    document: Mapping[str, Any],
    *,
    name: str = "<spec>",
    overrides: Sequence[str] = (),
) -> Spec:
    """Read and check an effective document. Its paths are already relative to the data root.

    Args:
        settings: give the data root.
        document: as `Spec.document` gives it.
        name: name of the spec in problems.
        overrides: changes such as `data.batch_size=128`.
    Raises:
        SpecProblems: with all problems of the spec.
    """
    root = settings.data_root_path
    return from_document(document, file=name, overrides=overrides, data_root=root, base=root)


def load_all(
    settings: Settings, sources: Iterable[Source], *, overrides: Sequence[str] = ()
) -> list[Spec]:
    """Read and check several specs.

    Raises:
        SpecProblems: with all problems of all specs.
    """
    specs: list[Spec] = []
    refused: list[SpecProblems] = []
    for source in sources:
        try:
            specs.append(load(settings, source, overrides=overrides))
        except SpecProblems as error:
            refused.append(error)
    if len(refused) == 1:
        # It also knows the folders of the spec; see `PartlyRead`.
        raise refused[0]
    if refused:
        raise SpecProblems(problem for error in refused for problem in error.problems)
    return specs


def changes_of(  # noqa: PLR0913 - each is a flag of its own
    changes: Changes = (),
    *,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    time_limit: str | None = None,
) -> tuple[str, ...]:
    """All overrides of a spec: `changes`, then those of the other arguments, which win.

    Args:
        changes: overrides such as `data.batch_size=128`, or their values by their places.
    """
    if isinstance(changes, Mapping):
        changes = [f"{place}={_written(place, value)}" for place, value in changes.items()]
    elif isinstance(changes, str):
        changes = [changes]
    # Quoted as JSON, so that YAML reads a name such as `1` as text.
    named = [
        ("name", None if name is None else _quoted(name), f"--name {name}"),
        ("resources.queue", None if queue is None else _quoted(queue), f"--queue {queue}"),
        ("resources.priority", priority, f"--priority {priority}"),
        ("resources.time_limit", time_limit, f"--time-limit {time_limit}"),
    ]
    named += [
        (f"tags.{key}", _quoted(tag), f"--tag {key}={tag}") for key, tag in (tags or {}).items()
    ]
    given = [Given(f"{place}={value}", shown) for place, value, shown in named if value is not None]
    return (*changes, *given)


def _quoted(text: str) -> str:
    # Not in ASCII: JSON would write an emoji as two escapes, each of which is no character in YAML.
    return json.dumps(text, ensure_ascii=False)


def _written(place: str, value: Any) -> str:
    try:
        return json.dumps(value, default=os.fspath, ensure_ascii=False)
    except (TypeError, ValueError):
        raise TypeError(
            f"overrides: {place} is {value!r}; expected a text, a number, a bool, None, a path, "
            f"or a list or dict of these"
        ) from None
