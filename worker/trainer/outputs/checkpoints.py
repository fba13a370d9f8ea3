"""The model files of an attempt: the best model, and the files of named checkpoints."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fornada.spec import KerasObject, Monitor
from fornada.sync import sync_folder
from fornada.worker.attempt_files import BEST, lasting
from fornada.worker.messages import Best, FileRecord
from fornada.worker.trainer.outputs import atomic_files
from fornada.worker.trainer.outputs.atomic_files import link
from fornada.worker.trainer.outputs.saving import Saving

# Files that `BestModel` writes. All others belong to checkpoints that the spec gives a file name.
_WEIGHTS, _LAST = "best.weights.h5", "last.keras"
_OWN = frozenset({BEST, _WEIGHTS, _LAST})


class ModelFiles:
    """Writes a model to files in an attempt's folder; a reader never sees half a file.

    A training state includes all these files, so a resumed attempt has them as they were.

    Args:
        folder: the attempt's folder.

    Attributes:
        records: records of the files written so far, by name; a name may contain folders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[str, FileRecord] = {}
        self._savings: dict[str, Saving] = {}
        # Bytes of the last file, by whether it holds only weights.
        self._sizes: dict[bool, int] = {}

    @property
    def checkpoints(self) -> list[FileRecord]:
        """The files of named checkpoints."""
        return [file for file in self.records.values() if file.kind == atomic_files.CHECKPOINT]

    def save(self, name: str, model: keras.Model, *, weights: bool = False) -> FileRecord:
        """Write the model as it is now.

        Args:
            name: file name, relative to the attempt's folder.
            model: built.
            weights: whether to save only its weights.

        Raises:
            OSError: the file cannot be written; an earlier file of this name is unchanged.
        """
        content = "weights" if weights else "model"
        if content not in self._savings:
            self._savings[content] = Saving(model, model.save_weights if weights else model.save)
        if name not in _OWN:
            # There may be many checkpoints. They must leave space for the best model and the
            # history.
            atomic_files.check_room(self.folder, self._sizes.get(weights, 0), f"{name} takes")
        record = self._write(name, self._savings[content])
        self._sizes[weights] = record.bytes
        return record

    def restore(self, names: Iterable[str], source: Path) -> None:
        """Link the files of a training state into the attempt's folder.

        Args:
            names: names of the state's files.
            source: the state's folder; the checksums of its files have been checked.
        """
        for name in names:
            self._write(name, partial(link, source / name))

    def _write(self, name: str, save: Callable[[Path], object]) -> FileRecord:
        path = self.folder / name
        kind = None if name in _OWN else atomic_files.CHECKPOINT
        path.parent.mkdir(parents=True, exist_ok=True)
        self.records[name] = record = atomic_files.write(path, save, kind)
        return record


class BestModel(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the model of the best epoch as `best.keras`.

    Each best model also gets a second name, `attempt_files.lasting`. The database names that file
    until the job ends; the supervisor removes it.

    It saves and prints when Keras's ModelCheckpoint does, but an epoch whose value or weights are
    not finite is never the best. Also, a reader never sees half a file, and each file has a
    checksum.

    Args:
        files: writes the attempt's model files.
        monitor: name of the watched metric in the logs, and whether its `min` or `max` is best.
        verbose: whether to print what Keras prints.
        weights: whether to keep `best.weights.h5` too.
        last: whether to write `last.keras` after every epoch and at the end.
    """

    def __init__(
        self,
        files: ModelFiles,
        monitor: Monitor,
        *,
        verbose: bool = False,
        weights: bool = False,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.best: Best | None = None
        self.files = files
        self._monitor = monitor.name
        self._sign = -1.0 if monitor.mode == "max" else 1.0
        self._verbose = verbose
        self._weights = weights
        self._last = last

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Save the model if this epoch is the best; `epoch` counts from 0, as in Keras."""
        value = float((logs or {})[self._monitor])
        if self._improves(value):
            self._say(epoch, f"{self._monitor} improved from {self._so_far()} to {value:.5f}")
            if self._weights:
                self.files.save(_WEIGHTS, self.model, weights=True)
            file = self.files.save(BEST, self.model)
            self._take(Best(epoch=epoch + 1, monitor=self._monitor, value=value, file=file))
        else:
            self._say(epoch, f"{self._monitor} did not improve from {self._so_far()}")
        self.save_last()

    def save_last(self) -> None:
        """Write the model as it is now to `last.keras`, if `last` is set."""
        if self._last:
            self.files.save(_LAST, self.model)

    @property
    def lasting(self) -> Best | None:
        """The best model with the path of `attempt_files.lasting`."""
        if self.best is None:
            return None
        path = lasting(self.files.folder, self.best.epoch)
        file = self.best.file.model_copy(update={"path": path})
        return self.best.model_copy(update={"file": file})

    def restore(self, best: Best | None) -> None:
        """Continue with the best model of a state, whose files have been restored."""
        if best is not None:
            self._take(best.model_copy(update={"file": self.files.records[BEST]}))

    def _take(self, best: Best) -> None:
        """Remember the best model, and give its file the second name."""
        link(best.file.path, lasting(self.files.folder, best.epoch))
        sync_folder(self.files.folder)
        self.best = best

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is not None and self._sign * value >= self._sign * self.best.value:
            return False
        return finite(self.model)

    def _so_far(self) -> str:
        return "None" if self.best is None else f"{self.best.value:.5f}"

    def _say(self, epoch: int, text: str) -> None:
        if self._verbose:
            print(f"Epoch {epoch + 1}: {text}")


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """Keras's ModelCheckpoint, with a `filepath` in the attempt's folder.

    A reader never sees half a file, and each file has a checksum. With `save_best_only`, an epoch
    whose value or weights are not finite is never the best.

    Args:
        files: writes the attempt's model files.
        item: the callback in the spec, with every argument.
    """

    def __init__(self, files: ModelFiles, item: KerasObject) -> None:
        super().__init__(**item.arguments)
        self._files = files

    def _save_model(self, epoch: int, batch: int | None, logs: Mapping[str, float]) -> None:
        name = self._get_file_path(epoch, batch, logs)
        if self._should_save_model(epoch, batch, logs, name):
            self._files.save(name, self.model, weights=self.save_weights_only)
            if self.verbose:
                print(f"Epoch {epoch + 1}: finished saving model to {name}")

    def _is_improvement(self, monitor_value: Any, reference_value: Any) -> bool:
        if not math.isfinite(monitor_value):
            return False
        improves = bool(super()._is_improvement(monitor_value, reference_value))
        return improves and finite(self.model)


def finite(model: keras.Model) -> bool:
    """Whether every weight is finite. The last update of an epoch may overflow after its loss."""
    return all(np.isfinite(weight).all() for weight in model.get_weights())
