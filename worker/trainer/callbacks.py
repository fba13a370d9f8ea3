"""The callbacks of a job: Keras's own from the spec, the files of models, and the records'."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray

from fornada.db.states import FailureCode
from fornada.spec import KerasObject, Spec
from fornada.spec.kinds.checkpoint_file import CHECKPOINT, writes_own_file
from fornada.worker.messages import EpochReport
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.model.keras_objects import make
from fornada.worker.trainer.outputs.checkpoints import BestModel, ModelCheckpoint, ModelFiles

Metrics = dict[str, float]


class SwapEMAWeights(keras.callbacks.SwapEMAWeights):  # type: ignore[misc]
    """Keras's, which a training can be stopped in and continued with.

    Keras forgets the weights that are not averaged after the last epoch; who trains on needs them.

    Attributes:
        testing: whether a validation is under way, which is continued without another swap.
        raw: the weights that are not averaged, after the last epoch; else empty.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__(swap_on_epoch)
        self.testing = False
        self.raw: list[NDArray[Any]] | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Train on with the weights that are not averaged."""
        if self.raw:
            for average, raw in zip(self._averages, self.raw, strict=True):
                average.assign(raw)
            self.raw = None
        if not self.testing:
            super().on_epoch_begin(epoch, logs)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Validate with the averages."""
        super().on_test_begin(logs)
        self.testing = True

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        """As it was before."""
        super().on_test_end(logs)
        self.testing = False

    @property
    def _averages(self) -> list[Any]:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        return list(optimizer._model_variables_moving_average)

    def _finalize_ema_values(self) -> None:
        # They stand where the averages stood, and are about to be written over.
        self.raw = [keras.ops.convert_to_numpy(average) for average in self._averages]
        super()._finalize_ema_values()


class TerminateOnNaN(keras.callbacks.TerminateOnNaN):  # type: ignore[misc]
    """Keras's own; with `raise_error` its exception becomes the job's verdict.

    Without `raise_error` it stops the training, which ends the job as DIVERGED too.
    """

    def on_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the loss after a batch.

        Raises:
            TrainingFailed: DIVERGED, with the batch, where the loss is no number.
        """
        try:
            super().on_batch_end(batch, logs)
        except RuntimeError as error:
            raise TrainingFailed(FailureCode.DIVERGED, f"TerminateOnNaN: {error}") from error


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

    def add(self, *epochs: EpochReport) -> None:
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

    Args:
        spec: `callbacks`, and `monitor`, which the first checkpoint decides.
        folder: of the attempt.
    Returns:
        All callbacks, and among them the one that keeps the best model.
    """
    files = ModelFiles(folder)
    best = _best_model(spec, files)
    made: list[Any] = []
    for item in spec.callbacks:
        if item.class_name == CHECKPOINT and best not in made:
            made.append(best)
        if item.class_name != CHECKPOINT or writes_own_file(item):
            made.append(_callback(item, files))
    return (made if best in made else [*made, best]), best


def _best_model(spec: Spec, files: ModelFiles) -> BestModel:
    first = next((item for item in spec.callbacks if item.class_name == CHECKPOINT), None)
    # One that has a file of its own asks for nothing beside it.
    asks = {} if first is None or writes_own_file(first) else first.arguments
    return BestModel(
        files,
        spec.monitor,
        verbose=bool(asks.get("verbose")),
        weights=bool(asks.get("save_weights_only")),
        # Averages come into the model at the end alone, and this is the file of the end.
        last=not asks.get("save_best_only", True) or _averages(spec),
    )


def _averages(spec: Spec) -> bool:
    return bool(spec.compile.optimizer.arguments.get("use_ema"))


def _callback(item: KerasObject, files: ModelFiles) -> Any:
    if item.class_name == CHECKPOINT:
        when = "when {monitor} improves" if item.arguments["save_best_only"] else "each epoch"
        print(f"checkpoint: {item.arguments['filepath']}, {when.format(**item.arguments)}")
        return ModelCheckpoint(files, item)
    if item.class_name == "SwapEMAWeights":
        return SwapEMAWeights(swap_on_epoch=bool(item.arguments["swap_on_epoch"]))
    if item.class_name == "TerminateOnNaN":
        return TerminateOnNaN(**item.arguments)
    return make(item, f"callbacks.{item.class_name}")
