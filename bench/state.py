"""What saving the training state costs, as a share of training time.

    python -P -m bench.state [--models convolutional] [--epoch-s 5]

Trains models of several sizes over images made up in memory, in epochs of five seconds and more,
and prints the medians. The promise is under 2 %.
"""

import contextlib
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from worker.trainer.quiet import import_keras

import_keras()

import numpy as np  # noqa: E402 - after the backend is chosen

from bench import report  # noqa: E402
from bench.report import Report  # noqa: E402
from fornada.settings import Settings  # noqa: E402
from fornada.spec import Spec  # noqa: E402
from worker.trainer import environment  # noqa: E402
from worker.trainer.data.sets import Images, Sets  # noqa: E402
from worker.trainer.model import build  # noqa: E402
from worker.trainer.state.contents import Origin  # noqa: E402
from worker.trainer.state.finding import states  # noqa: E402
from worker.trainer.training import Training  # noqa: E402

# The shortest epoch that the promise is about.
EPOCH_S = 5.0
# Percent of training time, at most.
PROMISED = 2.0
EPOCHS = 4
CLASSES = 10
SIZE = (28, 28)
BATCH = 64
HEAD = {"Dense": {"units": "classes", "activation": "softmax"}}
MODELS: dict[str, list[Any]] = {
    "convolutional": [
        {"Conv2D": {"filters": 32, "kernel_size": 3, "activation": "relu"}},
        {"MaxPooling2D": {"pool_size": 2}},
        "Flatten",
        {"Dense": {"units": 64, "activation": "relu"}},
        HEAD,
    ],
    "dense 1 M": ["Flatten", {"Dense": {"units": 1_250, "activation": "relu"}}, HEAD],
    "dense 10 M": [
        "Flatten",
        {"Dense": {"units": 2_800, "activation": "relu"}},
        {"Dense": {"units": 2_700, "activation": "relu"}},
        HEAD,
    ],
}


@dataclass(frozen=True)
class Measured:
    """One model: the seconds of its epochs, and of the saves of its state."""

    parameters: int
    state_bytes: int
    epochs: list[float]
    saves: list[float]


class Timed(Training):
    """Training that notes how long each save took."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.saves: list[float] = []

    def keep(self) -> None:
        """Save, and note how long it took."""
        begin = time.monotonic()
        super().keep()
        self.saves.append(time.monotonic() - begin)


def spec_of(layers: list[Any], epochs: int) -> Spec:
    """A spec with that model, on images in colour."""
    return Spec.from_document(
        {
            "name": "bench",
            "data": {"train": "Train", "image_size": list(SIZE), "batch_size": BATCH},
            "model": layers,
            "compile": {"optimizer": "Adam", "loss": "SparseCategoricalCrossentropy"},
            "fit": {"epochs": epochs},
        }
    ).with_classes(CLASSES)


def images(count: int) -> Sets:
    """Noise, for training alone."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, count).astype(np.int32)
    train = Images(rng.integers(0, 256, (count, *SIZE, 3), np.uint8), labels, labels)
    names = tuple(map(str, range(CLASSES)))
    return Sets(classes=names, train=train, validation=None, test=None, fingerprint="noise")


def train(layers: list[Any], count: int, epochs: int, folder: Path) -> tuple[Timed, list[float]]:
    """Train; the training and the seconds of each epoch."""
    spec, sets = spec_of(layers, epochs), images(count)
    model = build(spec, sets.input_shape, CLASSES, Settings())
    origin = Origin(
        uid="bench",
        attempt=1,
        spec=spec.epoch_hash,
        data=sets.fingerprint,
        maker=environment.maker(),
        reproducibility="seeded",
    )
    every_s = Settings().state_every_s
    training = Timed(spec, model, sets, origin, folder=folder, every_s=every_s, check=lambda: None)
    training.begin()
    with contextlib.redirect_stdout(io.StringIO()):
        return training, [epoch.seconds for epoch in training.epochs()]


def measure(layers: list[Any], least_s: float, scratch: Path) -> Measured:
    """One model, on as many images as make an epoch long enough."""
    count = 64 * BATCH
    for trial in range(8):
        folder = scratch / f"trial-{trial}" / "attempt-1"
        folder.mkdir(parents=True)
        # The first epoch of a model compiles it.
        _, seconds = train(layers, count, 2, folder)
        if seconds[-1] > least_s:
            break
        count = int(count * min(8.0, 1.3 * least_s / seconds[-1]))
    folder = scratch / "measured" / "attempt-1"
    folder.mkdir(parents=True)
    training, seconds = train(layers, count, EPOCHS, folder)
    kept = states(folder)[-1]
    return Measured(
        parameters=int(training._model.count_params()),
        state_bytes=kept.file.stat().st_size,
        epochs=seconds[1:],
        # The last look finds its state saved already.
        saves=training.saves[:-1],
    )


def rows(name: str, measured: Measured) -> list[report.Row]:
    """What a save of this model costs, in time and as a share of an epoch."""
    parameters, size = f"{measured.parameters:,} parameters", measured.state_bytes / 1e6
    group = f"{name}: {parameters}, a state of {size:.1f} MB"
    epoch_s = median(measured.epochs)
    shares = [save / epoch_s * 100 for save in measured.saves]
    return [
        report.row(group, "an epoch", "s", measured.epochs),
        report.row(group, "a save", "ms", [save * 1e3 for save in measured.saves]),
        report.row(group, "a save, of an epoch", "%", shares, bound=PROMISED),
    ]


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--epoch-s", type=float, default=EPOCH_S, help="the shortest epoch")
    asked = parser.parse_args()
    measured: dict[str, list[Measured]] = report.interleaved(
        {name: partial(_one, MODELS[name], asked.epoch_s) for name in asked.models.split(",")}, 1
    )
    report.publish(
        Report(
            name="state",
            title="What saving the training state costs",
            about="A state is saved at the end of every epoch, and about every minute within one. "
            "Noise in colour, in memory; epochs as long as the shortest that the promise is about.",
            rows=[row for name, (one,) in measured.items() for row in rows(name, one)],
            sizes={"epochs": EPOCHS - 1, "epoch_s": asked.epoch_s},
        ),
        asked.out,
    )
    return 0


def _one(layers: list[Any], least_s: float) -> Measured:
    with tempfile.TemporaryDirectory(prefix="fornada-bench-") as scratch:
        return measure(layers, least_s, Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
