"""The story of one job, from its folders of images to the measured best model."""

import os
from collections.abc import Callable
from contextlib import suppress

import keras

from fornada.settings import Settings
from fornada.spec import Spec, from_document
from fornada.spec.render import to_yaml
from fornada.worker.messages import (
    Best,
    EpochReport,
    Failed,
    FileRecord,
    Finished,
    Started,
    Stopped,
    Train,
)
from fornada.worker.trainer.data.sets import Sets, read_sets
from fornada.worker.trainer.engine import make_deterministic
from fornada.worker.trainer.engine.xla_rule import compiles
from fornada.worker.trainer.evaluate import evaluate
from fornada.worker.trainer.failures import EXPECTED, TrainingFailed, failure, printable, trace
from fornada.worker.trainer.model.build import build, check_shapes
from fornada.worker.trainer.outputs import atomic_files, environment
from fornada.worker.trainer.process import memory_room
from fornada.worker.trainer.process.pipes import StopAsked, StopRequest
from fornada.worker.trainer.state.contents import Origin
from fornada.worker.trainer.training import Begun, Training

Tell = Callable[[Started | EpochReport], None]


class JobRun:
    """The run of one job in this process.

    Args:
        job: the supervisor's message.
        settings: the worker's settings: limits, and how often a state is saved.
        stop_request: whether the supervisor asked the job to stop.
        tell: sends a message to the supervisor; for epochs, called in another thread.
    """

    def __init__(
        self, job: Train, settings: Settings, stop_request: StopRequest, tell: Tell
    ) -> None:
        self._job = job
        self._settings = settings
        self._check = stop_request.check
        self._tell = tell
        self._training: Training | None = None

    def verdict(self) -> Finished | Stopped | Failed:
        """Train the job, and say how it ended."""
        try:
            verdict: Finished | Stopped = self._train()
        except StopAsked as stop:
            with suppress(OSError):
                print(f"stopped: {stop.reason}")
            self._save_if_possible(Training.save_and_wait)
            verdict = Stopped(reason=stop.reason, best=self._best, files=self._files())
        except Exception as error:  # noqa: BLE001 - the only broad except: every error of a job
            # must reach the database with a code, and not end as a silent crash.
            return self._failed(error)
        self._release()
        return verdict

    def _save_if_possible(self, save: Callable[[Training], None]) -> None:
        """Save the training state. The job ends all the same if that fails."""
        try:
            if self._training:
                save(self._training)
        except (OSError, TrainingFailed) as error:
            with suppress(OSError):
                print(f"state: not saved: {error}")

    def _release(self) -> None:
        """Let the next job of this process use the compiled programs."""
        if self._training:
            self._training.engine.release()

    def _failed(self, error: Exception) -> Failed:
        # After an error the model may be half changed, so no new state is saved.
        self._save_if_possible(Training.settle)
        message = failed(error)
        # The log may be on the disk that is full.
        with suppress(OSError):
            print(f"{message.code}: {message.message}")
            if error.__cause__ is not None or message.code not in EXPECTED:
                print(message.traceback)
        epoch = message.epoch or (self._training.epoch if self._training else 0)
        results = {"epoch": epoch, "best": self._best, "files": self._files()}
        return message.model_copy(update=results)

    def _train(self) -> Finished:
        job, folder = self._job, self._job.folder
        spec = from_document(job.spec)
        atomic_files.write_text(folder / "spec.yaml", to_yaml(spec, job.data_root))
        for warning in spec.warnings:
            print(f"warning: {warning.what}")
        if spec.reproducibility == "deterministic":
            # This must come before JAX looks for its devices.
            make_deterministic()
        environment.write(folder, spec)

        sets = read_sets(spec, job.data_root, self._settings, self._check)
        # States are compared by the hash of the spec as it was written: with the word `classes`.
        written, spec = spec, spec.with_classes(len(sets.classes))
        # What has run out of memory before must fit into what is free now. Otherwise all of the
        # host's memory counts, because other jobs give theirs back.
        room = memory_room.left() if job.after_host_oom else None
        model = build(spec, sets.input_shape, len(sets.classes), self._settings, room)
        check_shapes(spec, model, sets.train.example())
        jit = compiles(spec, model, len(sets.train), environment.devices())
        origin = self._origin(written, sets, jit=jit)

        self._training = training = Training(
            spec,
            model,
            sets,
            origin,
            folder=folder,
            every_s=self._settings.state_every_s,
            share=self._settings.state_share,
            check=self._check,
        )
        begun = training.begin(job.resume_from)
        # Write the file again, now with `jit`: a resumed training takes it from its state.
        environment.write(folder, spec, jit=training.jit)
        self._tell(self._started(spec, sets, model, begun))
        training.run(self._tell)
        best = training.finish()

        test = None
        if sets.test is not None:
            # Measure the weights that are on disk. Loading the whole model would compile it again.
            model.load_weights(best.file.path)
            test = evaluate(training.engine, spec, sets.test, sets.classes, self._check)
            atomic_files.write_json(folder / "evaluation.json", test.model_dump())
        files = [*training.succeed(), *self._files()]
        return Finished(stop_reason=training.stop_reason, best=best, test=test, files=files)

    def _origin(self, spec: Spec, sets: Sets, *, jit: bool) -> Origin:
        return Origin(
            uid=self._job.uid,
            attempt=self._job.attempt,
            spec=spec.epoch_hash,
            data=sets.fingerprint,
            maker=environment.maker(jit=jit),
            reproducibility=spec.reproducibility,
        )

    def _started(self, spec: Spec, sets: Sets, model: keras.Model, begun: Begun) -> Started:
        return Started(
            trainer_pid=os.getpid(),
            device=environment.device(),
            backend=keras.backend.backend(),
            versions=environment.versions(),
            seed=spec.data.seed,
            parameters=model.count_params(),
            data=sets.summary(),
            first_epoch=begun.first_epoch,
            first_batch=begun.first_batch,
            restored=begun.restored,
            best=begun.best,
            inexact=begun.inexact,
            anew=begun.anew,
            reproducibility=spec.reproducibility,
        )

    @property
    def _best(self) -> Best | None:
        return self._training.best if self._training else None

    def _files(self) -> list[FileRecord]:
        found = atomic_files.records(self._job.folder, self._best.file if self._best else None)
        return [*found, *(self._training.checkpoints if self._training else ())]


def failed(error: Exception) -> Failed:
    """The message about a job that an exception ended, without its files."""
    found = failure(error)
    return Failed(
        code=found.code,
        message=printable(str(found)),
        traceback=printable(trace(error)),
        epoch=found.epoch,
    )
