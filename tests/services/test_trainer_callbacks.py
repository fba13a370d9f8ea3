"""What is best, and what is kept of it, driven by plain lists of values."""

import csv
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from fornada.client.clone import waited_epochs
from fornada.spec import Monitor, from_document
from fornada.worker.attempt_files import verify
from fornada.worker.messages import EpochReport
from fornada.worker.trainer.callbacks import EventFiles, from_spec
from fornada.worker.trainer.outputs import atomic_files
from fornada.worker.trainer.outputs.checkpoints import BestModel, ModelFiles
from fornada.worker.trainer.outputs.history_csv import HistoryFile
from tests.services.trainer_jobs import document

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def model() -> keras.Sequential:
    """The smallest that can be saved; its one bias tells which epoch was kept."""
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


def drive(best: BestModel, values: list[float]) -> list[int]:
    """Epochs, from 1, after which a new best stood."""
    best.set_model(model())
    kept = []
    for epoch, value in enumerate(values):
        best.model.layers[0].set_weights([np.ones((1, 1)), np.array([float(epoch + 1)])])
        before = best.best
        best.on_epoch_end(epoch, {"x": value})
        if best.best is not before:
            kept.append(epoch + 1)
    return kept


@pytest.mark.parametrize(
    ("mode", "values", "kept"),
    [
        ("min", [3, 2, 2, 4, 1], [1, 2, 5]),
        ("max", [3, 2, 4, 4, 5], [1, 3, 5]),
        ("min", [math.nan, 2, -math.inf, 1], [2, 4]),
        ("max", [math.inf, math.nan], []),
    ],
)
def test_what_is_best(tmp_path: Path, mode: Any, values: list[float], kept: list[int]) -> None:
    best = BestModel(ModelFiles(tmp_path), Monitor("x", mode))
    assert drive(best, values) == kept
    if kept:
        assert best.best is not None
        assert best.best.epoch == kept[-1]
        loaded = keras.models.load_model(tmp_path / "best.keras", compile=False)
        assert loaded.layers[0].bias.numpy() == kept[-1]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*["best.keras"][: len(kept)], *(f"best-{epoch}.keras" for epoch in kept)}


def test_a_best_model_that_was_told_outlives_the_next(tmp_path: Path) -> None:
    best = BestModel(ModelFiles(tmp_path), Monitor("x", "min"))
    told = []
    for epoch, value in enumerate((3.0, 2.0)):
        best.set_model(model())
        best.on_epoch_end(epoch, {"x": value})
        told.append(best.lasting)
    for each in told:
        assert each is not None
        verify(each.file, tmp_path)
    assert best.best is not None
    assert best.best.file.path == tmp_path / "best.keras"
    verify(best.best.file, tmp_path)


def test_a_model_that_overflowed_is_not_kept(tmp_path: Path) -> None:
    best = BestModel(ModelFiles(tmp_path), Monitor("x", "min"))
    drive(best, [3.0])
    best.model.layers[0].set_weights([np.full((1, 1), np.nan), np.zeros(1)])
    best.on_epoch_end(1, {"x": 1.0})
    assert best.best is not None
    assert best.best.epoch == 1


def test_a_save_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    atomic_files.write(path, lambda beside: beside.write_text("first"))

    def fail(beside: Path) -> None:
        beside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        atomic_files.write(path, fail)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_verbose_says_what_keras_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive(BestModel(ModelFiles(tmp_path), Monitor("x", "min"), verbose=True), [3.0, 4.0, 2.0])
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: x improved from None to 3.00000",
        "Epoch 2: x did not improve from 3.00000",
        "Epoch 3: x improved from 3.00000 to 2.00000",
    ]


def test_weights_and_last_are_kept_beside(tmp_path: Path) -> None:
    drive(BestModel(ModelFiles(tmp_path), Monitor("x", "min"), weights=True, last=True), [1.0, 2.0])
    other = model()
    other.load_weights(tmp_path / "best.weights.h5")
    assert other.layers[0].bias.numpy() == 1
    last = keras.models.load_model(tmp_path / "last.keras", compile=False)
    assert last.layers[0].bias.numpy() == 2


def test_the_order_of_the_spec_is_kept(tmp_path: Path) -> None:
    spec = from_document(
        document(
            callbacks=[
                {"EarlyStopping": {"monitor": "val_loss", "patience": 7}},
                {"ModelCheckpoint": {"monitor": "val_loss", "save_best_only": True}},
                {"TerminateOnNaN": {"raise_error": True}},
                {"ModelCheckpoint": {"monitor": "loss", "filepath": "loss.keras"}},
            ]
        )
    )
    made, best = from_spec(spec, tmp_path)
    assert [type(callback).__name__ for callback in made] == [
        "EarlyStopping",
        "BestModel",
        "TerminateOnNaN",
        "ModelCheckpoint",
    ]
    assert made[1] is best
    assert made[0].patience == 7


def epoch(number: int, **metrics: float) -> EpochReport:
    return EpochReport(number=number, seconds=2, images_per_s=3, learning_rate=0.5, metrics=metrics)


def test_history_file(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path)
    history.add(epoch(1, loss=0.1))
    history.add(epoch(2, loss=math.nan))
    fixed = {"seconds": "2.0", "images_per_s": "3.0", "learning_rate": "0.5"}
    with (tmp_path / "history.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"epoch": "1", **fixed, "loss": "0.1"},
            {"epoch": "2", **fixed, "loss": "nan"},
        ]


def test_event_files_are_tensorboards(tmp_path: Path) -> None:
    events = EventFiles(tmp_path)
    events.add(epoch(1, loss=2.0, val_loss=3.0))
    events.close()
    found = {}
    for path in sorted((tmp_path / "tensorboard").rglob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                number = float(tf.make_ndarray(value.tensor))
                found[f"{path.parent.name}/{value.tag}"] = (event.step, number)
    assert found == {
        "train/epoch_loss": (0, 2.0),
        "train/epoch_learning_rate": (0, 0.5),
        "validation/epoch_loss": (0, 3.0),
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": "val_loss"},
        {"monitor": "val_loss", "min_delta": 0.15},
        {"monitor": "accuracy", "mode": "max", "min_delta": 0.15},
        {"monitor": "accuracy", "mode": "min"},
        {"monitor": "val_loss", "baseline": 0.45},
        {"monitor": "val_loss", "start_from_epoch": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "values", [[0.5, 0.4, 0.45, 0.45], [0.3, 0.5, 0.6], [0.9, 0.8, 0.7], [math.nan, 0.5, 0.5], [1]]
)
def test_the_epochs_that_early_stopping_has_waited_are_counted_as_by_keras(
    arguments: dict[str, Any], values: list[float]
) -> None:
    stopping = keras.callbacks.EarlyStopping(patience=100, **arguments)
    stopping.set_model(model())
    stopping.on_train_begin()
    for number, value in enumerate(values):
        stopping.on_epoch_end(number, {arguments["monitor"]: value})

    defaults = {"mode": "auto", "min_delta": 0, "baseline": None, "start_from_epoch": 0}
    metrics = [{arguments["monitor"]: "NaN" if math.isnan(v) else v} for v in values]
    epochs: Any = [{"metrics": each} for each in metrics]
    assert waited_epochs(defaults | arguments, epochs) == stopping.wait
