"""Overrides of a spec, as with `--set`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fornada.spec import Spec, SpecProblems, from_document, loads
from fornada.spec.files import changes_of
from tests.budget import examples

ROOT = Path("/srv/data")
TEXT = """\
data: {train: Train, validation_split: 0.1}
model:
  - Rescaling: {scale: 1/255}
  - Flatten
  - Dense: {units: 64}
  - Dense: {units: classes}
compile: {optimizer: Adam, loss: SparseCategoricalCrossentropy}
fit:
callbacks:
  - EarlyStopping: {monitor: val_loss}
  - ModelCheckpoint
"""


def over(*overrides: str) -> Spec:
    """The spec with overrides."""
    return loads(TEXT, file="a.yaml", overrides=overrides, data_root=ROOT, base=ROOT)


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("data.batch_size=128", ("data", "batch_size"), 128),
        ("data.image_size=[28, 20]", ("data", "image_size"), [28, 20]),
        ("data.train=Other", ("data", "train"), "Other"),
        ("fit.epochs=7", ("fit", "epochs"), 7),
        ("retry.attempts=1", ("retry", "attempts"), 1),
        ("name=b", ("name",), "b"),
        ("tags.a.b=c=d", ("tags", "a.b"), "c=d"),
        ("model.2.Dense.units=32", ("model", 2, "Dense", "units"), 32),
        ("model.1.Flatten.name=flat", ("model", 1, "Flatten", "name"), "flat"),
        ("model.Rescaling.scale=1/2", ("model", 0, "Rescaling", "scale"), 0.5),
        ("model.0=Dropout: {rate: 0.5}", ("model", 0, "Dropout", "rate"), 0.5),
        (
            "compile.optimizer.Adam.learning_rate=1/1000",
            ("compile", "optimizer", "Adam", "learning_rate"),
            0.001,
        ),
        ("compile.optimizer=SGD", ("compile", "optimizer", "SGD", "momentum"), 0.0),
        ("compile.metrics=[accuracy]", ("compile", "metrics"), ["accuracy"]),
        (
            "callbacks.EarlyStopping.patience=3",
            ("callbacks", 0, "EarlyStopping", "patience"),
            3,
        ),
        (
            "callbacks.ModelCheckpoint.monitor=loss",
            ("callbacks", 1, "ModelCheckpoint", "monitor"),
            "loss",
        ),
        ("callbacks.0.EarlyStopping.patience=3", ("callbacks", 0, "EarlyStopping", "patience"), 3),
    ],
)
def test_an_override_changes_the_value_at_its_place(
    override: str, place: tuple[str | int, ...], value: object
) -> None:
    found: Any = over(override).document()
    for part in place:
        found = found[part]

    assert found == value


def test_an_override_changes_nothing_else_and_the_last_one_wins() -> None:
    spec = over("data.batch_size=1", "data.batch_size=128")

    expected = over().document()
    expected["data"]["batch_size"] = 128
    assert spec.document() == expected


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ("data.batch_size=64.0", "data.batch_size", "64.0 is not an integer."),
        ("data.batchsize=64", "data.batchsize", 'Did you mean "batch_size"?'),
        ("data.image_size=64x48", "data.image_size", "Did you mean [64, 48]?"),
        ("compile.optimizer.Adam.lr=3", "compile.optimizer.Adam.lr", 'mean "learning_rate"?'),
        ("model.2.Dense.neurons=3", "model.2.Dense.neurons", 'Did you mean "units"?'),
        ("data.batch_size=", "data.batch_size", "is not PATH=VALUE."),
        ("data.batch_size", "data.batch_size", "is not PATH=VALUE."),
        ("=5", "", "is not PATH=VALUE."),
        ("data.batch_size=[1", "data.batch_size", "not YAML"),
        ("data.batch_size=&a 1", "data.batch_size", "anchor &a is refused."),
        ("data.train=../x", "data.train", "is refused."),
        ("data.train.deep=1", "data.train.deep", "data.train is Train, which has no deep."),
        ("model.9.Dense.units=1", "model.9.Dense.units", "model has 4 items."),
        ("model.Dense.units=1", "model.Dense.units", "Dense in model: model.2, model.3."),
        ("model.2.Dens.units=1", "model.2.Dens.units", "model.2 is Dense, which has no Dens."),
        ("compile.optimizer.SGD.momentum=0", "compile.optimizer.SGD.momentum", "is Adam"),
        ("callbacks.EarlyStop.patience=1", "callbacks.EarlyStop.patience", "EarlyStopping"),
        ("name.a=1", "name", "is not accepted."),
        ("model.0.Rescaling.scale.x=1", "model.0.Rescaling.scale.x", "scale is 1/255"),
    ],
)
def test_a_problem_names_its_override(override: str, path: str, says: str) -> None:
    with pytest.raises(SpecProblems) as refused:
        over(override)

    (problem,) = refused.value.problems
    assert problem.file == f"--set {override}"
    assert problem.line is None
    assert problem.path == path
    assert says in problem.message
    assert str(problem).startswith(f"--set {override}  ")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("optimizer.Adam.learning_rate", ["compile.optimizer.Adam.learning_rate"]),
        ("Adam.learning_rate", ["compile.optimizer.Adam.learning_rate"]),
        ("optimizer.learning_rate", ["compile.optimizer.Adam.learning_rate"]),
        ("learning_rate", ["compile.optimizer.Adam.learning_rate"]),
        ("Dense.units", ["model.2.Dense.units", "model.3.Dense.units"]),
        ("2.Dense.units", ["model.2.Dense.units"]),
        ("rescaling.scale", ["model.0.Rescaling.scale"]),
        ("Flatten.name", ["model.1.Flatten.name"]),
        ("EarlyStopping.patience", ["callbacks.0.EarlyStopping.patience"]),
        ("epochs", ["fit.epochs"]),
        ("batch_size", ["data.batch_size"]),
    ],
)
def test_a_path_without_its_beginning_is_completed(path: str, meant: list[str]) -> None:
    with pytest.raises(SpecProblems) as refused:
        over(f"{path}=0.25")

    (problem,) = refused.value.problems
    assert (problem.path, problem.line) == (path, None)
    assert problem.message.endswith(f": {', '.join(meant)}.")
    # Each of them is a path that can be set.
    for full in meant:
        with pytest.raises(SpecProblems) as refused:
            over(f"{full}=[[]]")
        (problem,) = refused.value.problems
        assert problem.path.replace(".0.", ".").startswith(full.replace(".0.", "."))


def test_a_section_that_does_not_exist_is_no_beginning_of_a_path() -> None:
    with pytest.raises(SpecProblems) as refused:
        over("dat.batch_sizes=8")

    (problem,) = refused.value.problems
    assert problem.message.endswith('Did you mean "data"?')


def test_problems_of_file_and_overrides_are_reported_together() -> None:
    with pytest.raises(SpecProblems) as refused:
        loads(
            TEXT.replace("units: 64", "units: 6.4"),
            file="a.yaml",
            overrides=["data.seed=x", "fit.epochs=0"],
            data_root=ROOT,
            base=ROOT,
        )

    assert {(one.file, one.path) for one in refused.value.problems} == {
        ("a.yaml", "model.2.Dense.units"),
        ("--set data.seed=x", "data.seed"),
        ("--set fit.epochs=0", "fit.epochs"),
    }


_PARTS = [
    "data",
    "model",
    "fit",
    "callbacks",
    "compile",
    "optimizer",
    "Adam",
    "Dense",
    "Flatten",
    "0",
    "2",
    "-1",
    "²",
    "units",
    "epochs",
    "tags",
    "train",
    "EarlyStopping",
]
_PLACES = st.lists(
    st.sampled_from(_PARTS) | st.text(max_size=4),
    max_size=5,
).map(".".join)
_VALUES = st.sampled_from(["1", "x", "null", "[1]", "{Dense: {units: 3}}", "{", "*a"]) | st.text()


@given(st.text() | st.builds("{}={}".format, _PLACES, _VALUES))
@settings(max_examples=examples(150), deadline=None)
def test_any_override_is_applied_or_refused(override: str) -> None:
    try:
        spec = over(override)
    except SpecProblems:
        return
    assert from_document(spec.document()) == spec


def test_overrides_may_be_values_by_their_places() -> None:
    values = {"fit.epochs": 3, "name": "1", "data.train": Path("a b"), "data.shuffle": False}
    assert changes_of(values) == (
        "fit.epochs=3",
        'name="1"',
        'data.train="a b"',
        "data.shuffle=false",
    )
    assert changes_of("fit.epochs=3") == ("fit.epochs=3",)
    with pytest.raises(TypeError, match=r"fit\.epochs is \{3\}"):
        changes_of({"fit.epochs": {3}})
