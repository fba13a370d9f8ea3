"""Class weights: an integer key is an index, as in Keras; a text is the name of a folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from fornada.settings import Settings
from fornada.spec import Spec, SpecProblems, from_document, loads
from fornada.spec.checks import classes
from fornada.spec.files import load, recorded
from fornada.spec.render import to_yaml
from fornada.spec.values import ClassWeights

ROOT = Path("/srv/data")
TEXT = """\
name: digits
data: {{train: Train{data}}}
model:
  - Flatten
  - Dense: {{units: classes, activation: softmax}}
compile: {{optimizer: Adam, loss: SparseCategoricalCrossentropy}}
fit:
  class_weight: {weights}
"""


def read(weights: str, *overrides: str, data: str = "") -> Spec:
    text = TEXT.format(weights=weights, data=data)
    return loads(text, overrides=overrides, data_root=ROOT, base=ROOT)


def weights_of(spec: Spec) -> ClassWeights:
    assert isinstance(spec.fit.class_weight, ClassWeights)
    return spec.fit.class_weight


@pytest.mark.parametrize(
    ("written", "names", "by_label"),
    [
        # The names of the folders look like indices. As in Keras, index 2 is the folder `3`.
        ("{0: 1, 1: 1, 2: 0}", ("1", "2", "3"), {0: 1.0, 1: 1.0, 2: 0.0}),
        ('{"1": 1, "2": 2, "3": 3}', ("1", "2", "3"), {0: 1.0, 1: 2.0, 2: 3.0}),
        ("{'3': 0, 0: 2}", ("1", "2", "3"), {2: 0.0, 0: 2.0}),
        ("{cat: 2, 1: 3}", ("cat", "dog"), {0: 2.0, 1: 3.0}),
        # YAML reads a number with a leading zero as text.
        ("{007: 2}", ("007", "8"), {0: 2.0}),
        ('{"1.5": 2}', ("1.5", "2"), {0: 2.0}),
    ],
)
def test_keys_are_indices_or_names(
    written: str, names: tuple[str, ...], by_label: dict[int, float]
) -> None:
    spec = read(written)
    assert classes.problems(spec, names) == []
    assert weights_of(spec).by_label(names) == by_label
    # It means the same after it was written in any form and read again.
    document = json.loads(json.dumps(spec.document()))
    for again in (
        from_document(document),
        recorded(Settings(data_root=ROOT), document),
        loads(to_yaml(spec, ROOT), data_root=ROOT, base=ROOT),
    ):
        assert weights_of(again).by_label(names) == by_label
        assert again.hash == spec.hash


def test_python_has_integers_as_keys(tmp_path: Path) -> None:
    def spec(weights: Any) -> Spec:
        document = json.loads(json.dumps(read("{cat: 1}").document()))
        document["fit"]["class_weight"] = weights
        return load(Settings(data_root=ROOT), document | {"data": {"train": "/srv/data/Train"}})

    assert weights_of(spec({0: 2.0, "1": 3.0})) == ClassWeights({0: 2.0}, {"1": 3.0})
    assert spec({0: 2.0}).hash == read("{0: 2.0}").hash
    with pytest.raises(SpecProblems, match="given twice"):
        spec({0: 2.0, "0": 3.0})


@pytest.mark.parametrize(
    ("written", "at", "suggests"),
    [
        # Index 0 is the class cat.
        ("{0: 1, cat: 2}", ["cat"], ""),
        ("{2: 1}", ["2"], ""),
        ("{3: 1}", ["3"], '"3", in quotes'),
        ('{"0": 1}', ["0"], "0, without quotes"),
        ("{cta: 1, 9: 2}", ["9", "cta"], '"cat"'),
        ("{cat: 0, '3': 0}", [""], ""),
    ],
)
def test_a_key_without_a_class_and_a_class_with_two_keys_are_refused(
    written: str, at: list[str], suggests: str
) -> None:
    names = ("cat", "3")
    found = classes.problems(read(written), names)
    assert [one.path for one in found] == [f"fit.class_weight.{key}".rstrip(".") for key in at]
    assert {one.line for one in found} == {8}
    assert suggests in found[-1].message
    # If the spec names its classes, the same problems are found when it is read.
    with pytest.raises(SpecProblems) as refused:
        read(written, data=', class_names: [cat, "3"]')
    assert [one.path for one in refused.value.problems] == [one.path for one in found]


def test_an_index_that_is_also_the_name_of_another_class_gives_a_warning() -> None:
    warnings = classes.warnings(read("{0: 1, 1: 1, 2: 0}"), ("1", "2", "3"))
    assert [one.path for one in warnings] == ["fit.class_weight.1", "fit.class_weight.2"]
    # Here each index and the equal name mean the same class.
    assert classes.warnings(read("{0: 1, 1: 2}"), ("0", "1")) == []


@pytest.mark.parametrize(
    ("override", "indices", "names"),
    [
        ("fit.class_weight.1=5", {0: 1.0, 1: 5.0}, {}),
        ('fit.class_weight."1"=5', {0: 1.0}, {"1": 5.0}),
        ("fit.class_weight.a.b=5", {0: 1.0}, {"a.b": 5.0}),
    ],
)
def test_overrides_distinguish_indices_and_names(
    override: str, indices: dict[int, float], names: dict[str, float]
) -> None:
    assert weights_of(read("{0: 1}", override)) == ClassWeights(indices, names)


def test_an_override_does_not_turn_an_index_into_a_name() -> None:
    with pytest.raises(SpecProblems) as refused:
        read("{0: 1}", 'fit.class_weight."0"=5')
    assert len(refused.value.problems) == 1
    # A name that has quotes in the file stays a name.
    assert weights_of(read('{"0": 1}', "fit.class_weight.0=5")) == ClassWeights({}, {"0": 5.0})


@pytest.mark.parametrize(
    "written",
    [
        *("{}", "{index: {}}", "{index: {a: 1}}", "{other: {a: 1}}", "even", "[1, 2]"),
        # YAML reads these keys as numbers or words. They are not indices, and a name needs quotes.
        *("{-1: 1}", "{1.0: 1}", "{true: 1}", "{null: 1}"),
        # In 32 bits these weights become 0 and infinity.
        *("{0: 1e-60}", "{0: 1e39}"),
    ],
)
def test_invalid_weights_are_refused(written: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        read(written)
    assert refused.value.problems[0].path.startswith("fit.class_weight")


def test_an_override_changes_a_recorded_weight_by_its_key() -> None:
    document = read('{0: 1, "3": 2}').document()
    changed = recorded(
        Settings(data_root=ROOT),
        document,
        overrides=["fit.class_weight.0=5", 'fit.class_weight."1"=7'],
    )
    assert weights_of(changed) == ClassWeights({0: 5.0}, {"3": 2.0, "1": 7.0})


def test_a_key_with_and_without_quotes_is_refused() -> None:
    with pytest.raises(SpecProblems, match="with quotes and without"):
        read('{1: 3, "1": 2}')


def test_balanced_is_accepted_in_place_of_weights() -> None:
    spec = read("balanced")
    assert spec.fit.class_weight == "balanced"
    assert from_document(spec.document()) == spec
