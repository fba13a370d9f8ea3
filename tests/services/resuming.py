"""What tests of resuming share: a noisy job with plateaus, and what must be equal in the end."""

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from fornada.settings import Settings
from fornada.worker.messages import EpochReport, Failed, Finished, Started, Stopped, WhyStop
from fornada.worker.trainer.process.pipes import StopRequest
from fornada.worker.trainer.run import JobRun
from fornada.worker.trainer.state import tensors
from fornada.worker.trainer.state.contents import State, StateHeader
from fornada.worker.trainer.state.finding import SUFFIX, SavedState, states
from fornada.worker.trainer.state.tensors import Arrays
from tests.services.trainer_jobs import document, job, write_images

# How much brighter than noise a class is in its rows.
CONTRAST = 14
# History that depends on the clock, not on the numbers.
CLOCK = {"seconds", "images_per_s", "attempt"}


def noisy(epochs: int = 30, **changes: Any) -> dict[str, Any]:
    """A job of twelve epochs of five batches, the fifth and the last five no better than before.

    Random layers, moving averages, and three callbacks that count.
    """
    values: dict[str, Any] = {
        "model": [
            {"Rescaling": {"scale": 1 / 255}},
            {"RandomFlip": {"mode": "horizontal"}},
            {"Conv2D": {"filters": 4, "kernel_size": 3, "activation": "relu"}},
            "BatchNormalization",
            "Flatten",
            {"Dropout": {"rate": 0.4}},
            {"Dense": {"units": "classes", "activation": "softmax"}},
        ],
        "compile__optimizer": {"Adam": {"learning_rate": 0.01, "beta_1": 0.5, "clipnorm": 0.1}},
        "data__seed": 2,
        "callbacks": [
            {"EarlyStopping": {"monitor": "val_loss", "patience": 5, "restore_best_weights": True}},
            {"ReduceLROnPlateau": {"monitor": "val_loss", "patience": 2, "factor": 0.5}},
            {"ModelCheckpoint": {"monitor": "val_loss", "save_best_only": True}},
        ],
        "fit__epochs": epochs,
    }
    return document(**values | changes)


def write_noisy(root: Path) -> None:
    """Images of which little can be learned: mostly noise."""
    write_images(root / "Train", {"a": 16, "b": 16, "c": 16}, seed=3, contrast=CONTRAST)
    write_images(root / "Test", {"a": 4, "b": 4, "c": 4}, seed=4, contrast=CONTRAST)


def attempt(site: Path, number: int, uid: str = "job") -> Path:
    """The folder of an attempt, as a supervisor names it."""
    return site / uid / f"attempt-{number}"


@dataclass
class Run:
    """One attempt in this process, and what it told."""

    folder: Path
    messages: list[Started | EpochReport]
    verdict: Finished | Stopped | Failed
    log: str

    @property
    def started(self) -> Started:
        assert isinstance(self.messages[0], Started), self.verdict
        return self.messages[0]

    @property
    def epochs(self) -> list[EpochReport]:
        return [message for message in self.messages if isinstance(message, EpochReport)]

    @property
    def finished(self) -> Finished:
        assert isinstance(self.verdict, Finished), self.verdict
        return self.verdict


class AskedAt(StopRequest):
    """Asked to stop at one place: after so many epochs, before the n-th batch from there.

    Batches of training count, then those of validation, and after the last epoch those of the
    test set.
    """

    def __init__(self, folder: Path, epochs: int, batch: int, why: WhyStop = WhyStop.DRAIN) -> None:
        super().__init__()
        self.place = (epochs, batch)
        self.why = why
        # A row an epoch: it is there before the next one begins, and told beside it.
        self.history = folder / "history.csv"
        self.now: tuple[int, int] | None = None

    def heard(self, message: Started | EpochReport) -> None:
        if isinstance(message, Started):
            self.now = (message.first_epoch - 1, message.first_batch)

    def check(self) -> None:
        if self.now is not None:
            done = self._rows()
            self.now = self.now if done == self.now[0] else (done, 0)
            if self.now == self.place:
                self.ask(self.why)
            self.now = (done, self.now[1] + 1)
        super().check()

    def _rows(self) -> int:
        return self.history.read_text().count("\n") - 1 if self.history.exists() else 0


def run_job(
    spec: dict[str, Any],
    root: Path,
    folder: Path,
    *,
    resume_from: Sequence[Path] = (),
    stop: tuple[int, int] | None = None,
    **settings: Any,
) -> Run:
    """Bake a job here, without a process; `stop` as in `AskedAt`."""
    if stop is not None:
        # Then a block is one batch, and each of them can be the last.
        settings.setdefault("state_every_s", 1e-9)
    # Every epoch has its state, however busy the machine.
    settings.setdefault("state_share", 1.0)
    number = int(folder.name.removeprefix("attempt-"))
    order = job(spec, root, folder, attempt=number, resume_from=resume_from)
    told: list[Started | EpochReport] = []
    asked = AskedAt(folder, *stop or (-1, 0))

    def tell(message: Started | EpochReport) -> None:
        told.append(message)
        asked.heard(message)

    with contextlib.redirect_stdout(io.StringIO()) as log:
        verdict = JobRun(order, Settings(**settings), asked, tell).verdict()
    return Run(folder, told, verdict, log.getvalue())


def last_state(folder: Path) -> State:
    """The newest state of an attempt."""
    return states(folder)[-1].read()


def history(state: State) -> tuple[dict[str, float], ...]:
    """A state's rows, an epoch each, without what depends on the clock."""
    columns = {k: v for k, v in state.columns().items() if k not in CLOCK}
    length = len(columns["number"])
    return tuple({k: float(v[i]) for k, v in columns.items()} for i in range(length))


def rewrite(kept: SavedState, facts: StateHeader, arrays: Arrays) -> None:
    """Put another content in a saved state's place, with a checksum that is right."""
    kept.file.unlink()
    beside = kept.folder / "beside"
    _, sha256 = tensors.write(beside, facts.model_dump_json(), arrays)
    beside.rename(kept.folder / f"{sha256}{SUFFIX}")


def weights_of(model: Path) -> str:
    """sha256 of the weights in a `.keras` file, which is equal for equal weights."""
    with zipfile.ZipFile(model) as archive:
        return hashlib.sha256(archive.read("model.weights.h5")).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """All that must be equal, whatever happened on the way."""

    history: tuple[dict[str, float], ...]
    numbers: dict[str, bytes]
    facts: dict[str, Any]
    best: tuple[int, str, float]
    best_weights: str
    test: Any


def outcome(folder: Path, finished: Finished) -> Outcome:
    """What a job came to: its last state, its history, its best model, its test."""
    state = last_state(folder)
    place = state.facts.place
    best = finished.best
    return Outcome(
        history=history(state),
        numbers={
            name: f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
            for name, array in state.arrays.items()
            if not name.startswith("history/")
        },
        facts={
            "place": (place.epochs, place.batch),
            "stop": state.facts.stop,
            "callbacks": state.facts.callbacks,
            "reason": finished.stop_reason,
        },
        best=(best.epoch, best.monitor, best.value),
        best_weights=weights_of(best.file.path),
        test=None if finished.test is None else finished.test.model_dump(),
    )


def differences(found: Outcome, reference: Outcome) -> list[str]:
    """What is not equal, each in a few words."""
    parts = ("facts", "best", "best_weights", "test")
    named = [
        f"{part}: {getattr(found, part)} against {getattr(reference, part)}"
        for part in parts
        if getattr(found, part) != getattr(reference, part)
    ]
    rows = zip_longest(found.history, reference.history)
    named += [
        f"epoch {i}: {one} against {two}" for i, (one, two) in enumerate(rows, 1) if one != two
    ]
    names = sorted(found.numbers.keys() | reference.numbers.keys())
    named += [name for name in names if found.numbers.get(name) != reference.numbers.get(name)]
    return named


def same(found: Outcome, reference: Outcome) -> None:
    """Fail, naming what differs."""
    named = differences(found, reference)
    assert not named, "\n".join(named)
