"""The callbacks of a job: those of the spec, and those that save models and collect metrics."""

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
    """Keras's SwapEMAWeights, made so that a training can stop in it and resume.

    After the last epoch Keras drops the weights that are not averaged. A training that goes on
    from there needs them.

    Attributes:
        testing: whether a validation is running. If it is resumed, the weights are not swapped
            again.
        raw: the weights that are not averaged, set after the last epoch; otherwise None.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__(swap_on_epoch)
        self.testing = False
        self.raw: list[NDArray[Any]] | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Go back to the weights that are not averaged."""
        if self.raw:
            for average, raw in zip(self._averages, self.raw, strict=True):
                average.assign(raw)
            self.raw = None
        if not self.testing:
            super().on_epoch_begin(epoch, logs)

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Put the averages into the model for the validation."""
        super().on_test_begin(logs)
        self.testing = True

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Take the averages out of the model again."""
        super().on_test_end(logs)
        self.testing = False

    @property
    def _averages(self) -> list[Any]:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        return list(optimizer._model_variables_moving_average)

    def _finalize_ema_values(self) -> None:
        # The swap has put the raw weights into the variables of the averages. Keras overwrites
        # these variables next.
        self.raw = [keras.ops.convert_to_numpy(average) for average in self._averages]
        super()._finalize_ema_values()


class TerminateOnNaN(keras.callbacks.TerminateOnNaN):  # type: ignore[misc]
    """Keras's TerminateOnNaN; with `raise_error` its exception becomes the job's failure.

    Without `raise_error` it stops the training, and the job also fails as DIVERGED.
    """

    def on_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Check the loss after a batch.

        Raises:
            TrainingFailed: DIVERGED, with the batch, when the loss is NaN or infinite.
        """
        try:
            super().on_batch_end(batch, logs)
        except RuntimeError as error:
            raise TrainingFailed(FailureCode.DIVERGED, f"TerminateOnNaN: {error}") from error


class Records(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the logs of an epoch, with what other callbacks added, for the epoch's report.

    Attributes:
        logs: the logs of the last epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logs: Metrics = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keep the logs. This callback runs last, so it sees a `learning_rate` that Keras adds."""
        self.logs = {name: float(value) for name, value in (logs or {}).items()}


class EventFiles:
    """TensorBoard's event files, with the names and layout of Keras's TensorBoard callback.

    TensorFlow's writer writes them, because the callback needs the tensorboard package. A worker
    does not have it; only reading the files needs it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tensorboard"
        self._writers: dict[str, Any] = {}

    def add(self, *epochs: EpochReport) -> None:
        """Write the scalars of epochs; steps count from 0, as in Keras's files."""
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
    """Create the spec's callbacks in their order, with `BestModel` at the first checkpoint.

    Args:
        spec: its `callbacks`, and its `monitor`, which the first checkpoint decides.
        folder: the attempt's folder.
    Returns:
        All callbacks, and the one of them that keeps the best model.
    """
    files = ModelFiles(folder)
    best = _best_model(spec, files)
    callbacks: list[Any] = []
    for item in spec.callbacks:
        if item.class_name == CHECKPOINT and best not in callbacks:
            callbacks.append(best)
        if item.class_name != CHECKPOINT or writes_own_file(item):
            callbacks.append(_callback(item, files))
    return (callbacks if best in callbacks else [*callbacks, best]), best


def _best_model(spec: Spec, files: ModelFiles) -> BestModel:
    first = next((item for item in spec.callbacks if item.class_name == CHECKPOINT), None)
    # The arguments of a checkpoint with a file name of its own say nothing about the best model.
    arguments = {} if first is None or writes_own_file(first) else first.arguments
    return BestModel(
        files,
        spec.monitor,
        verbose=bool(arguments.get("verbose")),
        weights=bool(arguments.get("save_weights_only")),
        # Averaged weights are in the model only after training, so `last.keras` must hold them.
        last=not arguments.get("save_best_only", True) or _averages(spec),
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
