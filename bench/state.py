"""What saving the training state costs, as a share of training time.

    python -P bench/state.py [--json FILE]

Trains models of several sizes over images made up in memory, in epochs of five seconds and more,
with the settings as they are. The cost is the time that the training waits while its numbers are
copied, and all computing time of the thread that then writes them, as if that could not run
beside. The promise is under 2 %.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from worker.trainer.quiet import import_keras

import_keras()

import numpy as np  # noqa: E402 - after the backend is chosen

from fornada.settings import Settings  # noqa: E402
from fornada.spec import Spec  # noqa: E402
from worker.trainer import environment  # noqa: E402
from worker.trainer.data.sets import Images, Sets  # noqa: E402
from worker.trainer.model import build  # noqa: E402
from worker.trainer.state.contents import Origin, State  # noqa: E402
from worker.trainer.state.finding import states  # noqa: E402
from worker.trainer.state.keeper import Keeper  # noqa: E402
from worker.trainer.training import Training  # noqa: E402

# The shortest epoch that the promise is about.
EPOCH_S = 5.0
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
class Row:
    """One model.

    Attributes:
        held_s: how long the training waited for a save, in the median.
        beside_s: computing time of the thread for a save, in the median.
        states: how many were saved while it trained; one more is saved at its end.
        share: of the whole training, without its first epoch, which compiles.
    """

    model: str
    parameters: int
    state_bytes: int
    epochs: int
    epoch_s: float
    states: int
    held_s: float
    beside_s: float
    share: float


class Timed(Keeper):
    """A keeper that notes what its saves took."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.held: list[float] = []
        self.beside: list[float] = []

    def save(self, state: Callable[[], State]) -> None:
        """Save, and note how long the training waited."""
        super().save(state)
        self.held.append(self._held_s)
        self.after(lambda: self.beside.append(self._beside_s))


@dataclass(frozen=True)
class Trained:
    """A model's size, the seconds of its epochs, and its keeper."""

    parameters: int
    seconds: list[float]
    keeper: Timed


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
    training._keeper = keeper = Timed(folder, every_s, share)
    training.begin()
    seconds: list[float] = []
    with contextlib.redirect_stdout(io.StringIO()):
        training.run(lambda epoch: seconds.append(epoch.seconds))
    return Trained(model.count_params(), seconds, keeper)


def measure(name: str, layers: list[Any], scratch: Path) -> Row:
    """One model, on as many images as make an epoch long enough."""
    count = 64 * BATCH
    for trial in range(8):
        found = train(layers, count, 2, scratch / f"trial-{trial}" / "attempt-1")
        if found.seconds[-1] > EPOCH_S:
            break
        count = int(count * min(8.0, 1.3 * EPOCH_S / found.seconds[-1]))
    folder = scratch / "measured" / "attempt-1"
    found = train(layers, count, EPOCHS, folder)
    held, beside = found.keeper.held, found.keeper.beside
    return Row(
        model=name,
        parameters=found.parameters,
        state_bytes=states(folder)[-1].file.stat().st_size,
        epochs=EPOCHS,
        epoch_s=median(found.seconds[1:]),
        states=len(held) - 1,
        held_s=median(held),
        beside_s=median(beside),
        share=sum(held + beside) / sum(found.seconds[1:]),
    )


def main() -> int:
    """Measure all, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    rows = []
    print(
        f"{'model':<16}{'parameters':>12}{'state MB':>10}{'epoch s':>9}{'states':>8}"
        f"{'held ms':>9}{'beside ms':>11}{'share':>8}"
    )
    for name, layers in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="fornada-bench-") as scratch:
            row = measure(name, layers, Path(scratch))
        rows.append(row)
        print(
            f"{row.model:<16}{row.parameters:>12,}{row.state_bytes / 1e6:>10.1f}"
            f"{row.epoch_s:>9.2f}{row.states:>5}/{row.epochs}{row.held_s * 1e3:>9.1f}"
            f"{row.beside_s * 1e3:>11.1f}{row.share:>8.2%}",
            flush=True,
        )
    if arguments.json:
        figures = {"maker": environment.maker().model_dump(), "rows": [asdict(r) for r in rows]}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
