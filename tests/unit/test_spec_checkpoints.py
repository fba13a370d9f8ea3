"""Which files a ModelCheckpoint may write, and how averaged weights are checked."""

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
def test_accepted_files_of_checkpoints(callbacks: list[Any]) -> None:
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
def test_refused_files_of_checkpoints(filepath: str) -> None:
    # The checkpoint comes before ReduceLROnPlateau, so `learning_rate` is not known to it yet.
    assert refused_at(checkpoint(filepath), PLATEAU) == [FILEPATH]


def test_no_two_checkpoints_write_the_same_file() -> None:
    second = "callbacks.1.ModelCheckpoint.filepath"
    assert refused_at(checkpoint("best.keras"), {"ModelCheckpoint": {}}) == [second]
    assert refused_at(checkpoint("a.keras"), checkpoint("a.keras")) == [second]
    assert refused_at(checkpoint("{epoch}.keras"), checkpoint("{epoch:d}.keras")) == [second]
    # Only the first checkpoint may write `best.keras`, even if it writes another file.
    assert refused_at(checkpoint("a.keras"), {"ModelCheckpoint": {}}) == [second]


def test_a_monitor_that_is_not_used_may_be_missing() -> None:
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
    # The only checkpoint decides which model is the best, so its monitor is used.
    assert without_validation(checkpoint("all.keras")) == ["callbacks.ModelCheckpoint.monitor"]


def test_a_threshold_needs_a_filepath() -> None:
    only = {"ModelCheckpoint": {"initial_value_threshold": 0.5}}
    assert refused_at(only) == ["callbacks.ModelCheckpoint.initial_value_threshold"]


def test_the_number_of_files_is_limited() -> None:
    assert refused_at(checkpoint("{epoch}.keras"), epochs=1000) == []
    assert refused_at(checkpoint("{epoch}.keras"), epochs=1001) == [FILEPATH]
    assert refused_at(checkpoint("x.keras"), epochs=1001) == []


SWAP = {"SwapEMAWeights": {"swap_on_epoch": True}}


def test_averaged_weights_are_computed_before_they_are_swapped_in() -> None:
    assert refused_at(SWAP, use_ema=True) == []
    assert refused_at(SWAP, checkpoint("x.keras"), use_ema=True) == []
    assert refused_at(SWAP) == ["callbacks.SwapEMAWeights"]
    assert refused_at(SWAP, SWAP, use_ema=True) == ["callbacks.1.SwapEMAWeights"]
    assert refused_at(checkpoint("x.keras"), SWAP, use_ema=True) == ["callbacks.SwapEMAWeights"]
    for wrong in ("SwapEMAWeights", {"SwapEMAWeights": {"swap_on_epoch": False}}):
        assert refused_at(wrong, use_ema=True) == ["callbacks.SwapEMAWeights.swap_on_epoch"]


def test_averaged_weights_that_are_not_evaluated_give_a_warning() -> None:
    warnings = from_python(document(use_ema=True)).warnings
    assert [one.path for one in warnings] == ["compile.optimizer.Adam.use_ema"]
    assert from_python(document(SWAP, use_ema=True)).warnings == []
    stop = {"EarlyStopping": {"restore_best_weights": True}}
    warnings = from_python(document(stop, SWAP, use_ema=True)).warnings
    assert [one.path for one in warnings] == ["callbacks.EarlyStopping.restore_best_weights"]
    assert from_python(document(SWAP, stop, use_ema=True)).warnings == []


def hashes(changed: dict[str, Any]) -> tuple[str, str]:
    spec = from_document(changed)
    return spec.hash, spec.earlier_hash


def test_a_spec_whose_meaning_changed_has_another_hash() -> None:
    plain = document({"ModelCheckpoint": {"monitor": "loss"}})
    assert len(set(hashes(plain))) == 1
    assert len(set(hashes(document(class_weight={"cat": 2.0})))) == 1
    for changed in (
        document(use_ema=True),
        document(checkpoint("x.keras")),
        document(class_weight={"index": {"0": 2.0}}),
    ):
        assert len(set(hashes(changed))) == 2


def test_a_document_of_an_earlier_version_is_upgraded_with_warnings() -> None:
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
    # A document of this version is not changed.
    assert from_document(two.document()).warnings == []
    assert from_document(two.document()) == two


def test_a_recorded_filepath_that_is_not_a_name_is_refused() -> None:
    names: list[Any] = [[], {}, 1, None]
    for wrong in names:
        with pytest.raises(SpecProblems):
            from_document(document({"ModelCheckpoint": {"filepath": wrong}}))


def test_a_recorded_filepath_that_is_reserved_now_is_replaced() -> None:
    spec = from_document(document(checkpoint("last.keras")))
    assert [callback.arguments["filepath"] for callback in spec.callbacks] == ["best.keras"]
    assert len(spec.warnings) == 1


@pytest.mark.parametrize("name", ["ModelCheckpoint", "EarlyStopping", "ReduceLROnPlateau"])
@pytest.mark.parametrize(
    ("monitor", "mode", "warns"),
    [
        ("val_accuracy", "min", True),
        ("accuracy", "max", False),
        ("val_accuracy", "auto", False),
        ("val_loss", "max", True),
        ("loss", "min", False),
    ],
)
def test_the_worst_value_is_not_taken_for_the_best_without_a_warning(
    name: str, monitor: str, mode: str, *, warns: bool
) -> None:
    spec = from_python(document({name: {"monitor": monitor, "mode": mode}}))
    assert [one.path for one in spec.warnings] == [f"callbacks.{name}.mode"] * warns
