"""Class weights: an integer is an index, as in Keras; text is the name of a folder."""

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
        # The folders are called like indices: Keras gives index 2, the folder `3`, weight 0.
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
    # However it is written again, it means the same.
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
def test_what_names_no_class_or_one_twice_is_refused(
    written: str, at: list[str], suggests: str
) -> None:
    names = ("cat", "3")
    found = classes.problems(read(written), names)
    assert [one.path for one in found] == [f"fit.class_weight.{key}".rstrip(".") for key in at]
    assert {one.line for one in found} == {8}
    assert suggests in found[-1].message
    # The same, at once, where the spec names its classes.
    with pytest.raises(SpecProblems) as refused:
        read(written, data=', class_names: [cat, "3"]')
    assert [one.path for one in refused.value.problems] == [one.path for one in found]


def test_an_index_that_could_be_a_name_is_told() -> None:
    told = classes.warnings(read("{0: 1, 1: 1, 2: 0}"), ("1", "2", "3"))
    assert [one.path for one in told] == ["fit.class_weight.1", "fit.class_weight.2"]
    # Here index and name are one class.
    assert classes.warnings(read("{0: 1, 1: 2}"), ("0", "1")) == []


@pytest.mark.parametrize(
    ("override", "indices", "names"),
    [
        ("fit.class_weight.1=5", {0: 1.0, 1: 5.0}, {}),
        ('fit.class_weight."1"=5', {0: 1.0}, {"1": 5.0}),
        ("fit.class_weight.a.b=5", {0: 1.0}, {"a.b": 5.0}),
    ],
)
def test_overrides_tell_them_apart(
    override: str, indices: dict[int, float], names: dict[str, float]
) -> None:
    assert weights_of(read("{0: 1}", override)) == ClassWeights(indices, names)


def test_an_override_does_not_turn_an_index_into_a_name() -> None:
    with pytest.raises(SpecProblems) as refused:
        read("{0: 1}", 'fit.class_weight."0"=5')
    assert len(refused.value.problems) == 1
    # What the file has in quotes stays a name.
    assert weights_of(read('{"0": 1}', "fit.class_weight.0=5")) == ClassWeights({}, {"0": 5.0})


@pytest.mark.parametrize(
    "written",
    [
        *("{}", "{index: {}}", "{index: {a: 1}}", "{other: {a: 1}}", "even", "[1, 2]"),
        # Numbers and words of YAML: an index is none of these, and a name has quotes.
        *("{-1: 1}", "{1.0: 1}", "{true: 1}", "{null: 1}"),
        # Nothing of them is left in the 32 bits of a weight.
        *("{0: 1e-60}", "{0: 1e39}"),
    ],
)
def test_what_is_no_weight_is_refused(written: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        read(written)
    assert refused.value.problems[0].path.startswith("fit.class_weight")


def test_a_recorded_weight_is_overridden_by_its_key() -> None:
    document = read('{0: 1, "3": 2}').document()
    changed = recorded(
        Settings(data_root=ROOT),
        document,
        overrides=["fit.class_weight.0=5", 'fit.class_weight."1"=7'],
    )
    assert weights_of(changed) == ClassWeights({0: 5.0}, {"3": 2.0, "1": 7.0})


def test_one_key_in_two_spellings_is_refused() -> None:
    with pytest.raises(SpecProblems, match="with quotes and without"):
        read('{1: 3, "1": 2}')


def test_balanced_is_a_word() -> None:
    spec = read("balanced")
    assert spec.fit.class_weight == "balanced"
    assert from_document(spec.document()) == spec
