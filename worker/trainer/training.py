"""The epochs of a job: what `fit` does around its batches, in our own order of images."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from db.states import FailureCode, StopReason
from fornada.spec import Spec
from worker.messages import Best, Epoch
from worker.trainer import callbacks
from worker.trainer.catalogue import reason
from worker.trainer.data.order import epoch_order
from worker.trainer.data.sets import Sets
from worker.trainer.engine import Logs, engine_for
from worker.trainer.failures import TrainingFailed


class Training:
    """Trains one model over the epochs of its spec.

    Args:
        spec: `fit`, `callbacks`, and the order in `data`.
        model: built and compiled.
        sets: what it learns from.
        folder: of the attempt; the callbacks write there.
        check: called between batches; what it raises ends the training.
    """

    def __init__(
        self,
        spec: Spec,
        model: keras.Model,
        sets: Sets,
        *,
        folder: Path,
        check: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._model = model
        self._sets = sets
        self._engine = engine_for(model, spec.data.batch_size)
        self._check = check
        made, self._best_model = callbacks.from_spec(spec, folder)
        self._records = callbacks.Records()
        self._callbacks = keras.callbacks.CallbackList(
            [*made, self._records],
            model=model,
            epochs=spec.fit.epochs,
            steps=-(-len(sets.train) // spec.data.batch_size),
        )
        self._history = callbacks.HistoryFile(folder)
        self._events = callbacks.EventFiles(folder)
        self.epoch = 0

    @property
    def best(self) -> Best | None:
        """The best model so far."""
        return self._best_model.best

    @property
    def stop_reason(self) -> StopReason:
        """Why the epochs ended, once they have."""
        early = self._model.stop_training and self.epoch < self._spec.fit.epochs
        return StopReason.EARLY_STOPPING if early else StopReason.COMPLETED

    def epochs(self) -> Iterator[Epoch]:
        """Train, one epoch a step, until the spec's number or a callback ends it.

        The callbacks have not heard of the end yet: `finish` tells them.

        Raises:
            TrainingFailed: DIVERGED, or MODEL_INVALID where the model does not fit its loss.
        """
        self._model.stop_training = False
        self._callbacks.on_train_begin()
        for epoch in range(self._spec.fit.epochs):
            self.epoch = epoch + 1
            yield self._run(epoch)
            if self._model.stop_training:
                break

    def finish(self) -> Best:
        """End the training after its last epoch.

        Raises:
            TrainingFailed: DIVERGED, where no epoch had a value to call the best.
        """
        self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
        self._callbacks.on_train_end(self._records.logs)
        self._events.close()
        if self.best is None:
            what = f"no epoch ended with finite weights and a finite {self._spec.monitor.name}"
            raise self._diverged(what)
        return self.best

    def _run(self, epoch: int) -> Epoch:
        begin = time.monotonic()
        self._callbacks.on_epoch_begin(epoch)
        logs = self._train(epoch)
        trained_s = time.monotonic() - begin
        if not math.isfinite(logs["loss"]):
            raise self._diverged(f"the loss is {logs['loss']}")
        logs |= self._validate()
        learning_rate = float(self._model.optimizer.learning_rate)
        before = self.best
        self._callbacks.on_epoch_end(epoch, logs)
        metrics = self._records.logs
        self._events.add(epoch, metrics, learning_rate)
        message = Epoch(
            number=epoch + 1,
            seconds=time.monotonic() - begin,
            images_per_s=len(self._sets.train) / trained_s,
            learning_rate=learning_rate,
            metrics=metrics,
            best=None if self.best is before else self.best,
        )
        self._write(message)
        return message

    def _train(self, epoch: int) -> Logs:
        data = self._spec.data
        order = epoch_order(len(self._sets.train), data.seed, epoch, shuffle=data.shuffle)
        try:
            return self._engine.train_epoch(self._sets.train, order, self._callbacks, self._check)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            # Shapes and sizes were compared before; what is left is between outputs, loss and
            # metrics, such as probabilities outside 0 and 1.
            raise TrainingFailed(
                FailureCode.MODEL_INVALID, f"compile: {reason(error)}", epoch=self.epoch
            ) from error

    def _validate(self) -> Logs:
        if self._sets.validation is None:
            return {}
        logs = self._engine.evaluate(self._sets.validation, self._callbacks, self._check)
        return {f"val_{name}": value for name, value in logs.items()}

    def _write(self, epoch: Epoch) -> None:
        """Leave the epoch in `history.csv` and a line in the log."""
        rates = {"learning_rate": epoch.learning_rate, **epoch.metrics}
        speed = {"seconds": epoch.seconds, "images_per_s": epoch.images_per_s}
        self._history.add({"epoch": epoch.number, **speed, **rates})
        numbers = "  ".join(f"{name} {value:.5g}" for name, value in epoch.metrics.items())
        print(f"epoch {epoch.number}/{self._spec.fit.epochs}  {epoch.seconds:.2f} s  {numbers}")

    def _diverged(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            FailureCode.DIVERGED,
            f"epoch {self.epoch}: {what}. Try a smaller learning rate, or clipnorm.",
            epoch=self.epoch,
        )
