"""Blocks of batches: however long they are, and wherever the images lie, the numbers are equal."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from fornada.settings import Settings
from fornada.spec import from_document
from fornada.worker.trainer.data.sets import Images
from fornada.worker.trainer.engine import Engine, feed
from fornada.worker.trainer.model.build import build
from tests.services.trainer_jobs import document

# Keras converts its variables in a way that this NumPy warns about and the next refuses.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Twelve whole batches, and three images that are left.
COUNT, BATCH = 99, 8
BATCHES = 13


class OnDemand:
    """Images that give what they are asked for, and lie nowhere as one array."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        self.asked.append(len(positions))
        return self._pixels[positions]


class Heard(keras.callbacks.Callback):  # type: ignore[misc]
    """Which batches a callback hears of."""

    def __init__(self, stop_after: int = COUNT) -> None:
        super().__init__()
        self.blocks: list[tuple[int, int]] = []
        self.losses: list[float] = []
        self._stop_after = stop_after
        self._first = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.blocks.append((self._first, batch))
        self.losses.append(logs["loss"])
        self.model.stop_training = batch + 1 >= self._stop_after


def images(of: Callable[[NDArray[np.uint8]], Any] = lambda pixels: pixels) -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (COUNT, 8, 8, 3), np.uint8)
    labels = rng.integers(0, 3, COUNT).astype(np.int32)
    return Images(of(pixels), labels, labels, rng.random(COUNT).astype(np.float32))


def trained(
    block_s: float, of: Images, heard: Heard | None = None, first_batch: int = 0
) -> tuple[dict[str, float], list[NDArray[Any]], NDArray[np.float32]]:
    """Two epochs, an evaluation and the outputs of a small net."""
    model = build(from_document(document()).with_classes(3), (8, 8, 3), 3, Settings())
    engine = Engine(model, BATCH, of.example(), block_s=block_s)
    callbacks = keras.callbacks.CallbackList([heard or Heard()], model=model)
    order = np.random.default_rng(1).permutation(COUNT)
    between: list[int] = []
    for _ in range(2):
        logs = engine.train_epoch(of, order, callbacks, between.append, first_batch=first_batch)
    logs |= {f"val_{k}": v for k, v in engine.evaluate(of, callbacks, lambda: None).items()}
    return logs, model.get_weights(), engine.predict(of, lambda: None)


def same(one: tuple[Any, ...], two: tuple[Any, ...]) -> None:
    assert one[0] == two[0]
    for mine, its in zip([*one[1], one[2]], [*two[1], two[2]], strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_block_is_heard_of_as_of_its_first_and_last_batch() -> None:
    single, long = Heard(), Heard()
    same(trained(0, images(), single), trained(3600, images(), long))
    assert single.blocks == [(batch, batch) for batch in range(BATCHES)] * 2
    # The first block of all is one batch; the images that are left are a block of their own.
    assert long.blocks == [(0, 0), (1, 11), (12, 12), (0, 11), (12, 12)]
    assert long.losses[2] == single.losses[BATCHES - 1]


def test_images_that_lie_nowhere_as_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    row_bytes = 8 * 8 * 3
    monkeypatch.setattr(feed, "_CHUNK_BYTES", 5 * BATCH * row_bytes)
    streamed = images(OnDemand)
    same(trained(3600, streamed), trained(3600, images()))
    assert isinstance(streamed.pixels, OnDemand)
    # One for the shapes; then each epoch, the test, the outputs: chunks of five batches, the rest.
    chunks = [5 * BATCH, 5 * BATCH, 5 * BATCH, COUNT % BATCH]
    assert streamed.pixels.asked == [1, *(chunks * 4)]


def test_a_set_too_large_for_the_device_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = trained(0.001, images())
    monkeypatch.setattr(feed, "_RESIDENT_BYTES", 1000)
    same(trained(0.001, images()), resident)


def test_a_callback_ends_the_epoch_after_its_block() -> None:
    heard = Heard(stop_after=2)
    trained(0, images(), heard)
    assert heard.blocks == [(0, 0), (1, 1), (0, 0), (1, 1)]


def test_an_epoch_goes_on_where_it_was_left() -> None:
    heard = Heard()
    trained(0, images(), heard, first_batch=11)
    assert heard.blocks == [(11, 11), (12, 12)] * 2
