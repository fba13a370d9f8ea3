"""A model that is saved once more is in the file that Keras would have written."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from fornada.worker.trainer.outputs.saving import Saving

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((32, 8, 8, 3), np.float32), RNG.integers(0, 3, 32)


def normalization() -> Any:
    """Adapted: its numbers are variables too."""
    made = layers.Normalization()
    made.adapt(IMAGES)
    return made


MIDDLE = {
    "dense": lambda: [layers.Flatten(), layers.Dense(16, activation="relu")],
    "conv": lambda: [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten()],
    "random": lambda: [
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.Dropout(0.2),
        layers.GaussianNoise(0.1),
        layers.Flatten(),
        layers.Dropout(0.3),
    ],
    "normalization": lambda: [normalization(), layers.Flatten()],
    "nested": lambda: [keras.Sequential([layers.Conv2D(2, 3)], name="inner"), layers.Flatten()],
}
OPTIMIZERS = {
    "Adam": lambda: optimizers.Adam(0.01),
    "AdamW": lambda: optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.5),
    "SGD": lambda: optimizers.SGD(0.01, momentum=0.9),
    "schedule": lambda: optimizers.RMSprop(optimizers.schedules.CosineDecay(0.01, 10)),
    "accumulating": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2),
}
# Some of their variables are alike now and then: nobody knows which of them is which in a file.
ALIKE = ("AdamW", "accumulating")


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def trained(middle: str, optimizer: str) -> keras.Sequential:
    """After a few steps."""
    ends = layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((8, 8, 3)), *MIDDLE[middle](), ends])
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy", metrics=["accuracy"])
    train(model)
    return model


def train(model: keras.Sequential) -> None:
    model.fit(IMAGES, LABELS, batch_size=8, verbose=0)


def members(path: Path) -> dict[str, bytes]:
    """What the file holds."""
    if path.suffix == ".h5":
        return {"": path.read_bytes()}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def assert_as_by_keras(made: Path, by_keras: Path) -> None:
    mine, its = members(made), members(by_keras)
    # The second in which it was saved.
    assert set(mine.pop("metadata.json", b"")) <= set(its.pop("metadata.json", b"") + b"0123456789")
    assert mine == its


class Asked:
    """Keras's way to save, and how often it was asked for."""

    def __init__(self, save: Any) -> None:
        self.times = 0
        self._save = save

    def __call__(self, path: Path) -> None:
        self.times += 1
        self._save(path)


@pytest.mark.parametrize(
    ("middle", "optimizer", "precision"),
    [
        *((middle, "Adam", "float32") for middle in MIDDLE),
        *(("dense", optimizer, "float32") for optimizer in OPTIMIZERS if optimizer != "Adam"),
        ("conv", "SGD", "mixed_bfloat16"),
    ],
)
def test_what_keras_would_have_written(
    tmp_path: Path, middle: str, optimizer: str, precision: str
) -> None:
    keras.config.set_dtype_policy(precision)
    model = trained(middle, optimizer)
    ways = {"best.keras": model.save, "best.weights.h5": model.save_weights}
    asked = {name: Asked(save) for name, save in ways.items()}
    savings = {name: Saving(model, asked[name]) for name in ways}
    for saved in range(3):
        for name, save in ways.items():
            savings[name](tmp_path / name)
            save(tmp_path / f"keras.{name}")
            assert_as_by_keras(tmp_path / name, tmp_path / f"keras.{name}")
            assert asked[name].times == 1 or optimizer in ALIKE, saved
        train(model)


def test_a_learning_rate_that_has_changed(tmp_path: Path) -> None:
    model = trained("dense", "Adam")
    saving = Saving(model, model.save)
    saving(tmp_path / "best.keras")
    model.optimizer.learning_rate = 0.5
    saving(tmp_path / "best.keras")
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert loaded.optimizer.get_config()["learning_rate"] == 0.5
    mine, its = (each.predict(IMAGES, verbose=0) for each in (model, loaded))
    np.testing.assert_array_equal(mine, its)


def test_variables_that_are_alike_are_left_to_keras(tmp_path: Path) -> None:
    twins = [layers.Dense(3, use_bias=False, kernel_initializer="ones") for _ in range(2)]
    model = keras.Sequential([keras.Input((3,)), *twins])
    asked = Asked(model.save_weights)
    saving = Saving(model, asked)
    path = tmp_path / "best.weights.h5"
    for number, twin in enumerate([twins[0], twins[1], twins[0]], start=2):
        saving(path)
        twin.set_weights([np.full((3, 3), number, np.float32)])
    saving(path)
    model.save_weights(tmp_path / "keras.weights.h5")
    assert_as_by_keras(path, tmp_path / "keras.weights.h5")
    # As long as they were.
    assert asked.times == 2


def test_a_large_model_is_left_to_keras(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2100,)), layers.Dense(2100)])
    asked = Asked(model.save_weights)
    saving = Saving(model, asked)
    for _ in range(2):
        saving(tmp_path / "best.weights.h5")
    assert asked.times == 2
