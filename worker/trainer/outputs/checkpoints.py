"""The model's files of an attempt: the best model, and the files of named checkpoints."""

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

# The files of the best model's callback; all others are a named checkpoint's.
_WEIGHTS, _LAST = "best.weights.h5", "last.keras"
_OWN = frozenset({BEST, _WEIGHTS, _LAST})


class ModelFiles:
    """Writes a model to files in an attempt's folder, each in one piece.

    All of them belong to a training state: who resumes from it has them as they were.

    Args:
        folder: of the attempt.

    Attributes:
        records: of what was written, by name; a name may lie in sub-folders.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[str, FileRecord] = {}
        self._savings: dict[str, Saving] = {}
        # Bytes of the last whole model, and of the last file of weights.
        self._sizes: dict[bool, int] = {}

    @property
    def checkpoints(self) -> list[FileRecord]:
        """The files of named checkpoints."""
        return [one for one in self.records.values() if one.kind == atomic_files.CHECKPOINT]

    def save(self, name: str, model: keras.Model, *, weights: bool = False) -> FileRecord:
        """Write the model as it is now.

        Args:
            name: in the attempt's folder.
            model: built.
            weights: whether its weights alone.

        Raises:
            OSError: there is no room, or another reason; a file of this name stays as it was.
        """
        way = "weights" if weights else "model"
        if way not in self._savings:
            self._savings[way] = Saving(model, model.save_weights if weights else model.save)
        if name not in _OWN:
            # They may be many: the best model and the history shall still find room.
            atomic_files.check_room(self.folder, self._sizes.get(weights, 0), f"{name} takes")
        record = self._write(name, self._savings[way])
        self._sizes[weights] = record.bytes
        return record

    def restore(self, names: Iterable[str], source: Path) -> None:
        """Take over the files of a state.

        Args:
            names: of the files that belong to it.
            source: the folder they lie in, compared with their checksums already.
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
    """Keeps the model of the best epoch as `best.keras`, written in one piece.

    Each has a second name, `attempt_files.lasting`, which the record has of it until the job ends;
    the supervisor removes it.

    Keras's ModelCheckpoint as to when it saves and what it says, but for two things: its saves
    are atomic and have a checksum, and what is not finite, value or weight, is never the best.

    Args:
        files: of the attempt.
        monitor: what is watched, as the logs name it, and whether its `min` or `max` is best.
        verbose: whether it prints what Keras prints.
        weights: whether `best.weights.h5` is kept beside.
        last: whether `last.keras` is written after every epoch, and at the end.
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
        """Save what this epoch calls for; `epoch` is zero-based, as Keras counts."""
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
        """Write `last.keras`, where that is wanted: the model as it is now."""
        if self._last:
            self.files.save(_LAST, self.model)

    @property
    def lasting(self) -> Best | None:
        """The best model under its second name."""
        if self.best is None:
            return None
        path = lasting(self.files.folder, self.best.epoch)
        file = self.best.file.model_copy(update={"path": path})
        return self.best.model_copy(update={"file": file})

    def restore(self, best: Best | None) -> None:
        """Take over the best model of a state, whose files are restored already."""
        if best is not None:
            self._take(best.model_copy(update={"file": self.files.records[BEST]}))

    def _take(self, best: Best) -> None:
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
    """Keras's, with a `filepath` in the attempt's folder.

    Its saves are atomic and have a checksum; with `save_best_only` what is not finite, value or
    weight, is never the best.

    Args:
        files: of the attempt.
        item: of the spec, with every argument.
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
    """Whether every weight is: the last step of an epoch may overflow, after its loss."""
    return all(np.isfinite(weight).all() for weight in model.get_weights())
