"""The epochs of a job: what Keras's `fit` does around its batches, in Fornada's order of images."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras

from fornada.db.states import FailureCode, StopReason
from fornada.spec import Spec, changes
from fornada.worker.messages import Best, EpochReport, FileRecord, RestoredEpoch
from fornada.worker.trainer import callbacks
from fornada.worker.trainer.data.order import epoch_order
from fornada.worker.trainer.data.sets import Sets
from fornada.worker.trainer.engine import BLOCK_S, Engine, Logs
from fornada.worker.trainer.failures import TrainingFailed, first_line
from fornada.worker.trainer.model.build import refusal
from fornada.worker.trainer.model.keras_objects import reason
from fornada.worker.trainer.model.trial import REFUSALS
from fornada.worker.trainer.outputs import atomic_files
from fornada.worker.trainer.outputs.history_csv import History, HistoryFile
from fornada.worker.trainer.state.contents import Maker, Origin, Place, State, StateHeader
from fornada.worker.trainer.state.finding import find
from fornada.worker.trainer.state.live import Live
from fornada.worker.trainer.state.store import StateStore, earlier_attempts, remove_earlier
from fornada.worker.trainer.state.unusable import Misfit, UnusableState, explained

# Most epochs in the message of a resumed training. Each takes about 300 bytes, and a supervisor
# reads lines of up to 64 MiB. Earlier epochs are already in the database, unless it has not
# answered for days.
_MOST_RESTORED = 100_000


@dataclass(frozen=True)
class Begun:
    """Where a training begins.

    Attributes:
        first_epoch: the first epoch to train, counted from 1.
        first_batch: batches of that epoch that are already trained.
        restored: the epochs before it.
        best: the best model of the restored epochs.
        inexact: why the numbers may differ from those of a run that was never stopped.
        anew: why it begins at the first epoch although earlier attempts have left states; None if
            it resumes, or if there are none.
    """

    first_epoch: int
    first_batch: int
    restored: list[RestoredEpoch]
    best: Best | None
    inexact: str | None
    anew: str | None


class Training:
    """Trains one model over the epochs of its spec.

    Args:
        spec: its `fit`, its `callbacks`, and the order in its `data`.
        model: built and compiled.
        sets: the images.
        origin: what the states that it saves say about their origin.
        folder: the attempt's folder, for models and states.
        every_s: how often the state is saved within an epoch.
        share: largest share of the time that saving may take.
        check: called between blocks of batches; an exception from it ends the training.
    """

    def __init__(  # noqa: PLR0913 - what a training is made of
        self,
        spec: Spec,
        model: keras.Model,
        sets: Sets,
        origin: Origin,
        *,
        folder: Path,
        every_s: float,
        share: float,
        check: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._model = model
        self._sets = sets
        self._origin = origin
        self._folder = folder
        example = sets.train.example()
        # A state can only be saved between two blocks.
        block_s = min(BLOCK_S, every_s)
        self.engine = Engine(model, spec.data.batch_size, example, block_s=block_s)
        self.engine.jit = origin.maker.jit
        self._check = check
        made, self._best_model = callbacks.from_spec(spec, folder)
        self._files = self._best_model.files
        self._records = callbacks.Records()
        self._steps = -(-len(sets.train) // spec.data.batch_size)
        self._callbacks = keras.callbacks.CallbackList(
            [*made, self._records], model=model, epochs=spec.fit.epochs, steps=self._steps
        )
        keras_own = tuple(callback for callback in made if callback is not self._best_model)
        self._live = Live(model, example, keras_own)
        self._state_store = StateStore(folder, every_s, share, self._live.size)
        self._history = History()
        self._file = HistoryFile(folder)
        self._events = callbacks.EventFiles(folder)
        self._inexact: str | None = None
        # The states of earlier attempts that were looked at and are not used.
        self._refused: list[UnusableState] = []
        self._anew: str | None = None
        # What the model has been trained on so far.
        self._place = Place()
        # When this process began the present epoch or resumed inside it; None between two epochs.
        self._since: float | None = None
        # Whether `finish` has begun. After that the model must not be saved as a state.
        self._over = False
        # The epoch being trained, or the last one; 0 before the first.
        self.epoch = 0

    @property
    def best(self) -> Best | None:
        """The best model so far."""
        return self._best_model.best

    @property
    def checkpoints(self) -> list[FileRecord]:
        """The files of named checkpoints."""
        return self._files.checkpoints

    @property
    def jit(self) -> bool:
        """Whether XLA compiles the training steps."""
        return self.engine.jit

    @property
    def stop_reason(self) -> StopReason:
        """Why the epochs ended, once they have."""
        early = self._model.stop_training and self.epoch < self._spec.fit.epochs
        return StopReason.EARLY_STOPPING if early else StopReason.COMPLETED

    def begin(self, attempts: Sequence[Path] = ()) -> Begun:
        """Resume from the most advanced good state of these attempts, or start from the beginning.

        Args:
            attempts: folders of earlier attempts of this job, or of the job that it continues.

        Raises:
            TrainingFailed: when this job continues another and no state of that job can be used:
                DATA_INVALID if the images have changed, SPEC_INVALID if the spec has, else
                DATA_MISSING. ARTIFACT_WRITE when a state cannot be read but may be good.
        """
        self._model.stop_training = False
        # This must come before the state is restored, because it resets the callbacks.
        self._callbacks.on_train_begin()
        own_attempts = self._folder.parent
        restored: list[RestoredEpoch] = []
        if found := self._find(attempts):
            restored = self._restore(*found)
        elif self._refused and not any(folder.parent != own_attempts for folder in attempts):
            self._anew = "; ".join(dict.fromkeys(each.why for each in self._refused))
        elif others := [folder for folder in attempts if folder.parent != own_attempts]:
            raise TrainingFailed(*explained(others, self._refused))
        return Begun(
            first_epoch=self._place.epochs + 1,
            first_batch=self._place.batch,
            restored=restored[-_MOST_RESTORED:],
            best=self._best_model.lasting,
            inexact=self._inexact,
            anew=self._anew,
        )

    def run(self, tell: Callable[[EpochReport], object]) -> None:
        """Train until all epochs of the spec are done, or a callback ends the training.

        `on_train_end` of the callbacks is not called here, but in `finish`.

        Args:
            tell: called with each epoch, in order, in another thread. An epoch is reported after
                its state is saved, so that a resumed attempt knows every reported epoch. It is
                also reported when the save fails, or is skipped because it would take too long.

        Raises:
            TrainingFailed: DIVERGED; MODEL_INVALID when the model does not fit its loss;
                DISK_FULL, raised at the latest when the next state is due or all epochs are done.
        """
        while self._place.epochs < self._spec.fit.epochs and not self._model.stop_training:
            self.epoch = self._place.epochs + 1
            epoch = self._run(self._place.epochs)
            try:
                self._write(epoch)
                if self._state_store.affordable:
                    self._save()
            finally:
                self._state_store.after(partial(tell, epoch))
        # Save now if the last epoch's state found no space, or another attempt trained that epoch.
        self.save_and_wait()

    def finish(self) -> Best:
        """End the training after its last epoch.

        Raises:
            TrainingFailed: DIVERGED when no epoch could be called the best.
        """
        # The next steps change the model. A training that resumes from the last state repeats them.
        self._over = True
        self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
        self._callbacks.on_train_end(self._records.logs)
        # Now the model is as Keras leaves it after `fit`: averaged, or with its best weights.
        self._best_model.save_last()
        self._events.close()
        if self.best is None:
            what = f"no epoch ended with finite weights and a finite {self._spec.monitor.name}"
            raise self._diverged(what)
        return self.best

    def save_and_wait(self) -> None:
        """Save the present state, and wait until it is on disk and every epoch is reported.

        Raises:
            TrainingFailed: DISK_FULL, after three saves without space.
        """
        self.settle()
        self._save()
        self.settle()

    def settle(self) -> None:
        """Wait until running saves have ended, and the reports that follow them.

        Raises:
            TrainingFailed: DISK_FULL, after three saves without space.
        """
        self._state_store.settle()

    def succeed(self) -> list[FileRecord]:
        """Remove all states of the job except the last, from which another job may continue.

        Also remove the unfinished files of earlier attempts that were killed.
        """
        kept = self._state_store.close()
        # If no state of this attempt found space, the last state belongs to an earlier attempt.
        if kept:
            remove_earlier(self._folder, self._origin.attempt)
        for earlier in earlier_attempts(self._folder, self._origin.attempt):
            atomic_files.remove_unfinished(earlier)
        return kept

    def _save(self) -> None:
        """Start saving the state, unless there is nothing new to save."""
        if self._over or self._place.order == (0, 0) or self._state_store.has(self._place):
            return
        self._state_store.save(self._state)
        self._state_store.after(self._remove_earlier)

    def _state(self) -> State:
        place = self._place
        arrays = self._live.arrays(with_metrics=place.with_metrics)
        columns = self._history.columns()
        arrays |= {f"history/{name}": column for name, column in columns.items()}
        facts = StateHeader(
            origin=self._origin,
            place=place.model_copy(update={"seconds": place.seconds + self._elapsed_s()}),
            stop=bool(self._model.stop_training),
            callbacks=self._live.callback_facts(),
            best=self.best,
            files={name: str(file.sha256) for name, file in self._files.records.items()},
            inexact=self._inexact,
        )
        return State(facts, arrays)

    def _remove_earlier(self) -> None:
        # Earlier attempts' states are needed until this attempt has two: a state may be damaged.
        # States that do not fit stay until the job has succeeded: if their images come back, the
        # next attempt goes on from them.
        if self._state_store.has_all and self._anew is None:
            remove_earlier(self._folder, self._origin.attempt)

    def _run(self, epoch: int) -> EpochReport:
        self._since = time.monotonic()
        self._callbacks.on_epoch_begin(epoch)
        logs = dict(self._train(epoch))
        if not math.isfinite(logs["loss"]):
            raise self._diverged(f"the loss is {logs['loss']}")
        logs |= self._validate()
        learning_rate = float(self._model.optimizer.learning_rate)
        before = self.best
        self._callbacks.on_epoch_end(epoch, logs)
        message = EpochReport(
            number=epoch + 1,
            seconds=self._place.seconds + self._elapsed_s(),
            images_per_s=len(self._sets.train) / self._place.trained_s,
            learning_rate=learning_rate,
            metrics=self._records.logs,
            best=None if self.best is before else self._best_model.lasting,
        )
        self._place, self._since = Place(epochs=epoch + 1), None
        return message

    def _train(self, epoch: int) -> Logs:
        """Train the batches of the epoch that are not done yet.

        Returns:
            Loss and metrics of the whole epoch.
        """
        if self._place.logs is not None:
            return self._place.logs
        data = self._spec.data
        order = epoch_order(len(self._sets.train), data.seed, epoch, shuffle=data.shuffle)
        try:
            logs = self.engine.train_epoch(
                self._sets.train,
                order,
                self._callbacks,
                self._between,
                first_batch=self._place.batch,
            )
        except REFUSALS as error:
            # `check_shapes` has found most errors of a model. Others show only in training, or
            # depend on the values.
            found = refusal(self._spec, self._model, self._sets.train.example())
            raise found or TrainingFailed(
                FailureCode.MODEL_INVALID, f"compile: {reason(error)}", epoch=self.epoch
            ) from error
        trained_s = self._place.seconds + self._elapsed_s()
        done = {"batch": self._steps, "logs": logs, "trained_s": trained_s}
        self._place = self._place.model_copy(update=done)
        return logs

    def _between(self, batch: int) -> None:
        """Called between two blocks of training, after `batch` batches."""
        self._place = self._place.model_copy(update={"batch": batch})
        self._pause()

    def _pause(self) -> None:
        """Stop here if asked to, and save the state if it is due."""
        self._check()
        if self._state_store.due:
            self._save()

    def _find(self, attempts: Sequence[Path]) -> tuple[State, Path] | None:
        try:
            return find(attempts, self._folder.parent, self._fits, self._refuse)
        except OSError as error:
            # Do not start from the beginning instead: that would throw away the trained epochs.
            raise TrainingFailed(
                FailureCode.ARTIFACT_WRITE,
                f"a training state could not be read: {first_line(error)}. It is kept: retry when "
                "its disk works again, or use --fresh to train from the start.",
            ) from error

    def _refuse(self, folder: Path, error: Exception) -> None:
        print(f"state: {folder} is not used: {error}")
        self._refused.append(UnusableState.of(folder, error))

    def _fits(self, state: State) -> None:
        """Compare a state with this training.

        Raises:
            Misfit: the state belongs to another training.
            Broken: its variables or callbacks are not those of this model.
        """
        origin, place = state.facts.origin, state.facts.place
        if origin.spec != self._origin.spec:
            why = f"its spec differs in more than fit.epochs{_or_meaning(self._spec)}"
            raise Misfit(why, FailureCode.SPEC_INVALID)
        if origin.data != self._origin.data:
            raise Misfit("the images have changed since", FailureCode.DATA_INVALID)
        if place.order > (self._spec.fit.epochs, 0):
            why = f"it has {place.epochs} epochs; the spec {self._spec.fit.epochs}"
            raise Misfit(why, FailureCode.SPEC_INVALID)
        self._live.build()
        self._live.check(state)

    def _restore(self, state: State, folder: Path) -> list[RestoredEpoch]:
        """Resume from a state.

        Returns:
            The epochs that the state holds.
        """
        facts = state.facts
        self._live.restore(state)
        self._files.restore(facts.files, folder)
        self._best_model.restore(facts.best)
        inherited = facts.origin.uid != self._origin.uid
        self._history = History.of(state.columns(), inherited=inherited)
        rows = self._history.rows()
        self._file.restore(rows)
        self._events.add(*rows)
        self._records.logs = rows[-1].metrics if rows else {}
        self._place, self.epoch = facts.place, facts.place.epochs
        self._follow(facts.origin.maker)
        self._inexact = _inexact(facts, self._origin)
        print(f"state: goes on after epoch {self.epoch}, batch {facts.place.batch}: {folder}")
        if self._inexact:
            print(f"state: {self._inexact}")
        return rows

    def _follow(self, maker: Maker) -> None:
        """On an equal device, compile the steps as for the state, so that the numbers agree."""
        mine = self._origin.maker
        if (maker.backend, maker.device) == (mine.backend, mine.device):
            self.engine.jit = maker.jit
            same_jit = mine.model_copy(update={"jit": maker.jit})
            self._origin = self._origin.model_copy(update={"maker": same_jit})

    def _elapsed_s(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    def _validate(self) -> Logs:
        if self._sets.validation is None:
            return {}
        logs = self.engine.evaluate(self._sets.validation, self._callbacks, self._pause)
        return {f"val_{name}": value for name, value in logs.items()}

    def _write(self, epoch: EpochReport) -> None:
        """Add the epoch to the history and the event files, and print its line in the log."""
        self._history.add(epoch, self._origin.attempt)
        self._file.add(epoch)
        self._events.add(epoch)
        numbers = "  ".join(f"{name} {value:.5g}" for name, value in epoch.metrics.items())
        print(f"epoch {epoch.number}/{self._spec.fit.epochs}  {epoch.seconds:.2f} s  {numbers}")

    def _diverged(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            FailureCode.DIVERGED,
            f"epoch {self.epoch}: {what}. Try a smaller learning rate, or clipnorm.",
            epoch=self.epoch,
        )


def _or_meaning(spec: Spec) -> str:
    """Another possible reason for a difference: a version changed the meaning of a spec's keys."""
    changed = changes.of(spec)
    names = ", ".join(change.name for change in changed)
    return f", or it was saved before {changed[0].version}, which changed {names}" if names else ""


def _inexact(facts: StateHeader, origin: Origin) -> str | None:
    """Why the numbers may differ from those of a run that was never stopped; None if exact."""
    differs = origin.maker.differs(facts.origin.maker)
    if not differs:
        return facts.inexact
    after = f"epoch {facts.place.epochs}"
    why = f"after {after}, trained with {'; '.join(differs)}"
    return f"{facts.inexact}; {why}" if facts.inexact else why
