"""What saving the training state costs, as a share of training time.

    python -P -m bench.state [--models convolutional] [--epoch-s 5] [--epochs 20]

Trains models of several sizes over images made up in memory, in epochs of five seconds and more,
with the settings as they are. The cost is the time that the training waits while its numbers are
copied, and all computing time of the thread that then writes them, as if that could not run
beside. The promise is under 2 %.
"""

import contextlib
import io
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fornada.worker.trainer.process.keras_import import import_keras

import_keras()

import numpy as np  # noqa: E402 - after the backend is chosen

from bench import report, results  # noqa: E402
from bench.report import Report  # noqa: E402
from fornada.settings import Settings  # noqa: E402
from fornada.spec import Spec, from_document  # noqa: E402
from fornada.worker.trainer.data.sets import Images, Sets  # noqa: E402
from fornada.worker.trainer.model.build import build  # noqa: E402
from fornada.worker.trainer.outputs import environment  # noqa: E402
from fornada.worker.trainer.state.contents import Origin  # noqa: E402
from fornada.worker.trainer.state.finding import states  # noqa: E402
from fornada.worker.trainer.state.store import StateStore  # noqa: E402
from fornada.worker.trainer.training import Training  # noqa: E402

# The shortest epoch that the promise is about.
EPOCH_S = 5.0
# Percent of training time, at most.
PROMISED = 2.0
EPOCHS = 20
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
class Trained:
    """A model's size and its state's, the seconds of its epochs, and its keeper."""

    parameters: int
    state_bytes: int
    seconds: list[float]
    keeper: StateStore


def spec_of(layers: list[Any], epochs: int) -> Spec:
    """A spec with that model, on images in colour."""
    return from_document(
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


def train(layers: list[Any], count: int, epochs: int, folder: Path) -> Trained:
    """Train, and keep the times."""
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
    folder.mkdir(parents=True)
    settings = Settings()
    every_s, share = settings.state_every_s, settings.state_share
    training = Training(
        spec, model, sets, origin, folder=folder, every_s=every_s, share=share, check=lambda: None
    )
    training.begin()
    seconds: list[float] = []
    with contextlib.redirect_stdout(io.StringIO()):
        training.run(lambda epoch: seconds.append(epoch.seconds))
    size = states(folder)[-1].file.stat().st_size
    return Trained(model.count_params(), size, seconds, training._state_store)


def measure(layers: list[Any], least_s: float, epochs: int, scratch: Path) -> Trained:
    """One model, on as many images as make an epoch long enough."""
    count = 64 * BATCH
    for trial in range(8):
        found = train(layers, count, 2, scratch / f"trial-{trial}" / "attempt-1")
        if found.seconds[-1] > least_s:
            break
        count = int(count * min(8.0, 1.3 * least_s / found.seconds[-1]))
    return train(layers, count, epochs, scratch / "measured" / "attempt-1")


def rows(name: str, trained: Trained) -> list[report.Row]:
    """What the states of this model cost, in time and as a share of the training's."""
    parameters, size = f"{trained.parameters:,} parameters", trained.state_bytes / 1e6
    group = f"{name}: {parameters}, a state of {size:.1f} MB"
    # The first epoch compiles.
    epochs, held, beside = trained.seconds[1:], trained.keeper.held, trained.keeper.beside
    share = sum(held + beside) / sum(epochs) * 100
    return [
        report.row(group, "an epoch", "s", epochs),
        report.row(group, "held by a save", "ms", [each * 1e3 for each in held]),
        report.row(group, "computing beside", "ms", [each * 1e3 for each in beside]),
        report.row(
            group, f"{len(held)} saves, of all time", "%", [share], bound=PROMISED, of="share"
        ),
    ]


def main() -> int:
    """Measure, print, and write."""
    parser = report.parser(__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--epoch-s", type=float, default=EPOCH_S, help="the shortest epoch")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="the first is not counted")
    asked = parser.parse_args()
    measured: dict[str, list[Trained]] = report.interleaved(
        {
            name: partial(_one, MODELS[name], asked.epoch_s, asked.epochs)
            for name in asked.models.split(",")
        },
        1,
    )
    results.publish(
        Report(
            name="state",
            title="What saving the training state costs",
            about="A state is saved at the end of every epoch, beside the next, and less often "
            "where that costs more than its share of the time. Counted are the time that the "
            "training waits and all computing beside it. Noise in colour, in memory; epochs as "
            "long as the shortest that the promise is about.",
            rows=[row for name, (one,) in measured.items() for row in rows(name, one)],
            sizes={"epochs": asked.epochs, "epoch_s": asked.epoch_s},
        ),
        asked.out,
    )
    return 0


def _one(layers: list[Any], least_s: float, epochs: int) -> Trained:
    with tempfile.TemporaryDirectory(prefix="fornada-bench-") as scratch:
        return measure(layers, least_s, epochs, Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
