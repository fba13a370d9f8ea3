"""Which files a ModelCheckpoint may write, and where averaged weights come in."""

from typing import Any

import pytest

from fornada.spec import SpecProblems, from_document
from fornada.spec.loading import from_python


def document(*callbacks: Any, **fit: Any) -> dict[str, Any]:
    return {
        "data": {"train": "Train", "validation_split": 0.1},
        "model": ["Flatten", {"Dense": {"units": "classes", "activation": "softmax"}}],
        "compile": {
            "optimizer": {"Adam": {"use_ema": fit.pop("use_ema", False)}},
            "loss": "SparseCategoricalCrossentropy",
            "metrics": ["accuracy"],
        },
        "fit": {"epochs": 10, **fit},
        "callbacks": list(callbacks),
    }


def checkpoint(filepath: str, **arguments: Any) -> dict[str, Any]:
    return {"ModelCheckpoint": {"filepath": filepath, **arguments}}


def refused_at(*callbacks: Any, **fit: Any) -> list[str]:
    try:
        from_python(document(*callbacks, **fit))
    except SpecProblems as refused:
        return [problem.path for problem in refused.problems]
    return []


PLATEAU: dict[str, Any] = {"ReduceLROnPlateau": {}}
FILEPATH = "callbacks.ModelCheckpoint.filepath"


@pytest.mark.parametrize(
    "callbacks",
    [
        [checkpoint("model.keras")],
        [checkpoint("{epoch:02d}-{val_loss:.2f}.keras")],
        [checkpoint("all/of them/{epoch}-{val_accuracy:.3f}.keras")],
        [checkpoint("w.weights.h5", save_weights_only=True)],
        [checkpoint("best.keras"), checkpoint("{accuracy}.keras")],
        [PLATEAU, checkpoint("{learning_rate:.1e}.keras")],
        [checkpoint("a{{b}}.keras")],
        [checkpoint("models/best-{epoch}.keras")],
        [checkpoint("x.keras", initial_value_threshold=0.5, save_best_only=True)],
    ],
)
def test_files_of_checkpoints(callbacks: list[Any]) -> None:
    assert refused_at(*callbacks) == []


@pytest.mark.parametrize(
    "filepath",
    [
        "/tmp/x.keras",
        "../x.keras",
        "a/../../x.keras",
        "a//b.keras",
        "~/x.keras",
        "a\\b.keras",
        "x\n.keras",
        "x.h5",
        "x",
        "",
        "x.weights.h5",
        "last.keras",
        "best-{epoch}.keras",
        "state/x.keras",
        "tensorboard/x.keras",
        "writing.x.keras",
        "a/writing.{epoch}.keras",
        "{epoch.__class__}.keras",
        "{epoch[0]}.keras",
        "{epoch!r}.keras",
        "{}.keras",
        "{0}.keras",
        "{epoch:099999999d}.keras",
        "{epoch:{epoch}}.keras",
        "{epoch.keras",
        "{val_loss:02d}.keras",
        "{val_acc}.keras",
        "{batch}.keras",
        "{learning_rate}.keras",
        "x" * 300 + ".keras",
        "best.keras/x.keras",
        "train.log/x.keras",
        "history.csv/x.keras",
        "a.keras/x.keras",
        "{epoch}.keras/x.keras",
        "best-{epoch}.keras/x.keras",
    ],
)
def test_names_that_are_refused(filepath: str) -> None:
    # It stands before the callback that would bring a learning rate.
    assert refused_at(checkpoint(filepath), PLATEAU) == [FILEPATH]


def test_each_checkpoint_has_a_file_of_its_own() -> None:
    second = "callbacks.1.ModelCheckpoint.filepath"
    assert refused_at(checkpoint("best.keras"), {"ModelCheckpoint": {}}) == [second]
    assert refused_at(checkpoint("a.keras"), checkpoint("a.keras")) == [second]
    assert refused_at(checkpoint("{epoch}.keras"), checkpoint("{epoch:d}.keras")) == [second]
    # The first one decides about `best.keras`, whether it names it or not.
    assert refused_at(checkpoint("a.keras"), {"ModelCheckpoint": {}}) == [second]


def test_a_monitor_that_nobody_looks_at_may_be_missing() -> None:
    def without_validation(*callbacks: Any) -> list[str]:
        spec = document(*callbacks)
        spec["data"].pop("validation_split")
        try:
            from_python(spec)
        except SpecProblems as refused:
            return [problem.path for problem in refused.problems]
        return []

    first = checkpoint("best.keras", monitor="loss")
    assert without_validation(first, checkpoint("all.keras")) == []
    only_best = checkpoint("all.keras", save_best_only=True)
    assert without_validation(first, only_best) == ["callbacks.1.ModelCheckpoint.monitor"]
    # It decides about `best.keras`.
    assert without_validation(checkpoint("all.keras")) == ["callbacks.ModelCheckpoint.monitor"]


def test_a_threshold_needs_a_file_of_its_own() -> None:
    only = {"ModelCheckpoint": {"initial_value_threshold": 0.5}}
    assert refused_at(only) == ["callbacks.ModelCheckpoint.initial_value_threshold"]


def test_files_are_bounded_by_epochs() -> None:
    assert refused_at(checkpoint("{epoch}.keras"), epochs=1000) == []
    assert refused_at(checkpoint("{epoch}.keras"), epochs=1001) == [FILEPATH]
    assert refused_at(checkpoint("x.keras"), epochs=1001) == []


SWAP = {"SwapEMAWeights": {"swap_on_epoch": True}}


def test_averages_are_made_before_they_are_swapped_in() -> None:
    assert refused_at(SWAP, use_ema=True) == []
    assert refused_at(SWAP, checkpoint("x.keras"), use_ema=True) == []
    assert refused_at(SWAP) == ["callbacks.SwapEMAWeights"]
    assert refused_at(SWAP, SWAP, use_ema=True) == ["callbacks.1.SwapEMAWeights"]
    assert refused_at(checkpoint("x.keras"), SWAP, use_ema=True) == ["callbacks.SwapEMAWeights"]
    for wrong in ("SwapEMAWeights", {"SwapEMAWeights": {"swap_on_epoch": False}}):
        assert refused_at(wrong, use_ema=True) == ["callbacks.SwapEMAWeights.swap_on_epoch"]


def test_averages_that_nobody_measures_are_told() -> None:
    told = from_python(document(use_ema=True)).warnings
    assert [one.path for one in told] == ["compile.optimizer.Adam.use_ema"]
    assert from_python(document(SWAP, use_ema=True)).warnings == []
    stop = {"EarlyStopping": {"restore_best_weights": True}}
    told = from_python(document(stop, SWAP, use_ema=True)).warnings
    assert [one.path for one in told] == ["callbacks.EarlyStopping.restore_best_weights"]
    assert from_python(document(SWAP, stop, use_ema=True)).warnings == []


def hashes(changed: dict[str, Any]) -> tuple[str, str]:
    spec = from_document(changed)
    return spec.hash, spec.earlier_hash


def test_a_spec_that_means_something_else_has_another_hash() -> None:
    plain = document({"ModelCheckpoint": {"monitor": "loss"}})
    assert len(set(hashes(plain))) == 1
    assert len(set(hashes(document(class_weight={"cat": 2.0})))) == 1
    for changed in (
        document(use_ema=True),
        document(checkpoint("x.keras")),
        document(class_weight={"index": {"0": 2.0}}),
    ):
        assert len(set(hashes(changed))) == 2


def test_what_an_earlier_version_recorded_is_read_with_a_word() -> None:
    weights = from_document(document(class_weight={"1": 2.0, "cat": 3.0}))
    assert weights.document()["fit"]["class_weight"] == {"index": {"1": 2.0}, "name": {"cat": 3.0}}
    assert len(weights.warnings) == 1
    two = from_document(
        document(
            {"ModelCheckpoint": {"monitor": "loss", "filepath": "model"}},
            {"ModelCheckpoint": {"monitor": "val_loss", "filepath": "model"}},
            {"ModelCheckpoint": {"save_weights_only": True, "initial_value_threshold": 1.0}},
        )
    )
    files = [callback.arguments["filepath"] for callback in two.callbacks]
    assert files == ["best.keras", "checkpoint-1.keras", "checkpoint-2.weights.h5"]
    assert len(two.warnings) == 3
    # A document of this version is as it was meant.
    assert from_document(two.document()).warnings == []
    assert from_document(two.document()) == two


def test_a_recorded_name_that_is_no_name_is_refused_as_any_other() -> None:
    names: list[Any] = [[], {}, 1, None]
    for wrong in names:
        with pytest.raises(SpecProblems):
            from_document(document({"ModelCheckpoint": {"filepath": wrong}}))


def test_a_recorded_name_that_is_now_the_jobs_own_is_another() -> None:
    spec = from_document(document(checkpoint("last.keras")))
    assert [callback.arguments["filepath"] for callback in spec.callbacks] == ["best.keras"]
    assert len(spec.warnings) == 1
