"""The callbacks of a job: Keras's own from the spec, the best model's, and the records'."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fornada.spec import Monitor, Spec
from fornada.sync import sync_folder
from worker.files import BEST, lasting
from worker.messages import Best, Epoch, FileRecord
from worker.trainer import artifacts
from worker.trainer.artifacts import link
from worker.trainer.catalogue import make
from worker.trainer.saving import Saving

Metrics = dict[str, float]

_CHECKPOINT = "ModelCheckpoint"


class BestModel(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the model of the best epoch as `best.keras`, written in one piece.

    Each has a second name, `files.lasting`, which the record has of it until the job ends; the
    supervisor removes it.

    Keras's ModelCheckpoint as to when it saves and what it says, but for two things: its saves
    are atomic and have a checksum, and what is not finite, value or weight, is never the best.
    The best model is kept whether or not it passes an `initial_value_threshold`.

    Args:
        folder: of the attempt.
        monitor: what is watched, as the logs name it, and whether its `min` or `max` is best.
        verbose: whether it prints what Keras prints.
        weights: whether `best.weights.h5` is kept beside.
        last: whether `last.keras` is written every epoch.
    """

    def __init__(
        self,
        folder: Path,
        monitor: Monitor,
        *,
        verbose: bool = False,
        weights: bool = False,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.best: Best | None = None
        # The files it keeps, by name.
        self.files: dict[str, FileRecord] = {}
        self._folder = folder
        self._monitor = monitor.name
        self._sign = -1.0 if monitor.mode == "max" else 1.0
        self._verbose = verbose
        self._weights = weights
        self._last = last
        self._savings: dict[str, Saving] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Save what this epoch calls for; `epoch` is zero-based, as Keras counts."""
        value = float((logs or {})[self._monitor])
        if self._improves(value):
            self._say(epoch, f"{self._monitor} improved from {self._so_far()} to {value:.5f}")
            if self._weights:
                self._save_model("best.weights.h5", self.model.save_weights)
            file = self._save_model(BEST, self.model.save)
            self._take(Best(epoch=epoch + 1, monitor=self._monitor, value=value, file=file))
        else:
            self._say(epoch, f"{self._monitor} did not improve from {self._so_far()}")
        if self._last:
            self._save_model("last.keras", self.model.save)

    @property
    def lasting(self) -> Best | None:
        """The best model under its second name."""
        if self.best is None:
            return None
        path = lasting(self._folder, self.best.epoch)
        file = self.best.file.model_copy(update={"path": path})
        return self.best.model_copy(update={"file": file})

    def restore(self, best: Best | None, names: Iterable[str], source: Path) -> None:
        """Take over the best model of a state.

        Args:
            best: as it was recorded there.
            names: of the files that belong to it.
            source: the folder they lie in, compared with their checksums already.
        """
        for name in names:
            self._save(name, partial(link, source / name))
        if best is not None:
            self._take(best.model_copy(update={"file": self.files[BEST]}))

    def _take(self, best: Best) -> None:
        link(best.file.path, lasting(self._folder, best.epoch))
        sync_folder(self._folder)
        self.best = best

    def _save_model(self, name: str, save: Callable[[Path], object]) -> FileRecord:
        if name not in self._savings:
            self._savings[name] = Saving(self.model, save)
        return self._save(name, self._savings[name])

    def _save(self, name: str, save: Callable[[Path], object]) -> FileRecord:
        self.files[name] = file = artifacts.write(self._folder / name, save)
        return file

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is not None and self._sign * value >= self._sign * self.best.value:
            return False
        # The last step of an epoch may overflow: its loss was computed before.
        return all(np.isfinite(weight).all() for weight in self.model.get_weights())

    def _so_far(self) -> str:
        return "None" if self.best is None else f"{self.best.value:.5f}"

    def _say(self, epoch: int, text: str) -> None:
        if self._verbose:
            print(f"Epoch {epoch + 1}: {text}")


class Records(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps what the other callbacks made of an epoch's logs, for the report.

    Attributes:
        logs: of the last epoch, with what a callback added.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logs: Metrics = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Last in the list, so that it sees `learning_rate` where Keras adds it."""
        self.logs = {name: float(value) for name, value in (logs or {}).items()}


class EventFiles:
    """TensorBoard's event files, named and laid out as Keras's TensorBoard callback does.

    Written with TensorFlow's own writer: the callback needs the tensorboard package, which
    reading the files needs, but not a worker.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tensorboard"
        self._writers: dict[str, Any] = {}

    def add(self, *epochs: Epoch) -> None:
        """Write the scalars of epochs, zero-based as in Keras's files."""
        for epoch in epochs:
            for name, value in {**epoch.metrics, "learning_rate": epoch.learning_rate}.items():
                run = "validation" if name.startswith("val_") else "train"
                tag = f"epoch_{name.removeprefix('val_')}"
                self._scalar(run, tag, value, epoch.number - 1)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close()

    def _scalar(self, run: str, tag: str, value: float, step: int) -> None:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self._folder / run))
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        )
        with self._writers[run].as_default():
            tf.summary.write(tag, tf.constant(value, tf.float32), step=step, metadata=metadata)


def from_spec(spec: Spec, folder: Path) -> tuple[list[Any], BestModel]:
    """The spec's callbacks in its order, the best model's in the first checkpoint's place.

    Of several ModelCheckpoints the first decides what is best and speaks; each of them may ask
    for weights or for the last model beside.

    Args:
        spec: `callbacks`, and `monitor`, which the first checkpoint decides.
        folder: of the attempt.
    Returns:
        All callbacks, and among them the one that keeps the best model.
    """
    checkpoints = [item.arguments for item in spec.callbacks if item.class_name == _CHECKPOINT]
    best = BestModel(
        folder,
        spec.monitor,
        verbose=bool(checkpoints and checkpoints[0]["verbose"]),
        weights=any(c["save_weights_only"] for c in checkpoints),
        last=any(not c["save_best_only"] for c in checkpoints),
    )
    made: list[Any] = []
    for item in spec.callbacks:
        if item.class_name == "TerminateOnNaN":
            # The end is the same with and without `raise_error`: the job has diverged.
            made.append(keras.callbacks.TerminateOnNaN())
        elif item.class_name != _CHECKPOINT:
            made.append(make(item, f"callbacks.{item.class_name}"))
        elif best not in made:
            made.append(best)
    return (made if best in made else [*made, best]), best
