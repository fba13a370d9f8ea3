"""A changed spec is refused with a line number, or read with all other values unchanged.

No change may cause another exception than SpecProblems.
"""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fornada.spec import Problem, Spec, SpecProblems, from_document, load, loads
from fornada.spec.render import to_yaml
from tests.budget import examples

# Measuring coverage would double the time of these thousands of cases.
pytestmark = pytest.mark.no_cover

ROOT = Path("/srv/data")
WRITTEN = """\
name: a
tags: {fold: 3}
data:
  train: Train
  validation: {folder: Test, split: 0.1}
  image_size: [8, 8]
  class_names: [no, "1"]
  label_mode: categorical
model:
  - Rescaling: {scale: 1/255}
  - Conv2D: {filters: 4, kernel_size: 3, activation: {LeakyReLU: {negative_slope: 0.1}}}
  - Flatten
  - Dense:
      units: classes
      kernel_initializer: {RandomNormal: {stddev: 1e-2}}
      kernel_constraint: MaxNorm
compile:
  optimizer: {Adam: {learning_rate: {CosineDecay: {initial_learning_rate: 0.1, decay_steps: 9}}}}
  loss: CategoricalCrossentropy
  metrics: [accuracy, AUC: {curve: PR}]
fit: {epochs: 3, class_weight: {0: 1, "1": 2.5}}
callbacks:
  - EarlyStopping: {monitor: val_auc, patience: 5}
  - ModelCheckpoint: {monitor: loss, save_best_only: true}
resources: {time_limit: 1h30m}
""".replace("[no,", '["no",')
BASE = loads(WRITTEN, data_root=ROOT, base=ROOT)
DOCUMENT = BASE.document()
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

Place = tuple[str | int, ...]


def _places(node: Any, here: Place = ()) -> Iterator[Place]:
    yield here
    if isinstance(node, dict | list):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _places(item, (*here, key))


PLACES = [place for place in _places(DOCUMENT) if place]
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        7,
        2**70,
        0.5,
        -0.5,
        1e300,
        "",
        "classes",
        "valid",
        "relu",
        "RandomNormal",
        "val_loss",
        "1/3",
        "1/0",
        "2h",
        "..",
        "/etc",
        "x" * 300,
        "é\n",
        [],
        [1, 2],
        {},
        {"Dense": {"units": 3}},
        {"relu": {}},
    ]
) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abDense", max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def mutants(draw: st.DrawFn) -> tuple[Place, Any]:
    """A place in the document, and the document with the node there deleted or changed."""
    document = copy.deepcopy(DOCUMENT)
    *above, key = place = draw(st.sampled_from(PLACES))
    parent: Any = document
    for part in above:
        parent = parent[part]
    how = draw(st.sampled_from(["delete", "double", "retype", "replace", "rename"]))
    if how == "delete":
        del parent[key]
    elif how == "double":
        double = copy.deepcopy(parent[key])
        if isinstance(parent, list):
            parent.append(double)
        else:
            parent[f"{key}2"] = double
    elif how == "retype":
        parent[key] = draw(st.sampled_from([str(parent[key]), [parent[key]], {"x": parent[key]}]))
    elif how == "rename" and isinstance(parent, dict):
        parent[draw(st.text("abcdefgh_", min_size=1, max_size=8))] = parent.pop(key)
    else:
        parent[key] = draw(VALUES)
    return tuple(place), document


def outcome(read: Callable[[], Spec]) -> tuple[Spec | None, list[Problem]]:
    """The spec, or its problems. Any other exception fails the test."""
    try:
        return read(), []
    except SpecProblems as refused:
        return None, refused.problems


def _lines(document: Any) -> str:
    """The document as YAML with one value on each line. It is JSON, which is also YAML."""
    return json.dumps(document, indent=0, ensure_ascii=False)


@given(mutants())
@settings(max_examples=examples(300), deadline=None, suppress_health_check=_SLOW)
def test_a_changed_node_is_refused_with_its_line_or_changes_nothing_else(
    mutant: tuple[Place, Any],
) -> None:
    place, document = mutant
    spec, problems = outcome(lambda: loads(_lines(document), data_root=ROOT, base=ROOT))
    assert all(problem.line and problem.message for problem in problems)
    if spec is None:
        assert problems
        return
    changed = set(_differences(DOCUMENT, spec.document()))
    # A new name may appear beside a renamed one, and items after a deleted one move: both changes
    # lie in the same list or mapping.
    around = place[:-1]
    assert all(one[: len(around)] == around[: len(one)] for one in changed)
    _keeps_numbers(_at(document, place), _at(spec.document(), place))
    assert loads(to_yaml(spec, ROOT), data_root=ROOT) == spec


def _at(document: Any, place: Place) -> Any:
    for part in place:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _keeps_numbers(written: Any, read: Any) -> None:
    """Check that a number or boolean keeps its value, also as a pair or as the text of a tag."""
    if isinstance(written, bool | int | float) and read is not None:
        assert read in (written, [written, written], json.dumps(written))
        assert isinstance(written, bool) or not isinstance(read, bool)


def _differences(one: Any, other: Any, here: Place = ()) -> Iterator[Place]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key in one and key in other:
                yield from _differences(one[key], other[key], (*here, key))
            else:
                yield (*here, key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(left, right, (*here, index))
    elif one != other or type(one) is not type(other):
        yield here


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The text of the spec, damaged: cut off, bytes removed, repeated, changed or inserted, or
    lines moved."""
    text = WRITTEN.encode()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 9)))
        how = draw(st.sampled_from(["cut", "lose", "double", "put", "flip", "lines"]))
        if how == "cut":
            text = text[:start]
        elif how == "lose":
            text = text[:start] + text[stop:]
        elif how == "double":
            text = text[:stop] + text[start:]
        elif how == "put":
            put = draw(st.sampled_from([*b"\0\t\r\n \"'{}[]:,-?!&*#|>@`%~\x80\xff\xef\xbb\xbf0e."]))
            text = text[:start] + bytes([put]) + text[start:]
        elif how == "flip" and start < len(text):
            text = (
                text[:start] + bytes([text[start] ^ draw(st.integers(1, 255))]) + text[start + 1 :]
            )
        else:
            lines = text.splitlines(keepends=True)
            text = b"".join(draw(st.permutations(lines))) if start % 9 == 0 else text
    return text


@given(damaged())
@settings(max_examples=examples(400), deadline=None, suppress_health_check=_SLOW)
def test_damaged_text_is_refused_with_a_line_or_read(tmp_path_factory: Any, text: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(text)
    spec, problems = outcome(lambda: load(path, data_root=ROOT, base=ROOT))
    assert all(problem.line and problem.message for problem in problems)
    if spec is None:
        assert problems
        return
    assert from_document(spec.document()) == spec
    assert loads(to_yaml(spec, ROOT), data_root=ROOT) == spec
