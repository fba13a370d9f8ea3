"""Chooses a trainer for each job: the slot's warm trainer, or a new one.

A warm trainer has run a job and waits for another. A new trainer has not used a device yet, so at
most one trainer of a slot holds the slot's device.
"""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fornada.worker.control_groups import TrainerGroups
from fornada.worker.slots.factory import Factory
from fornada.worker.slots.slots import Slot, environment, threads
from fornada.worker.slots.trainer_process import Trainer

log = logging.getLogger("fornada.worker")

# Names another program to use as the factory, to measure or test the queue without Keras.
COMMAND_VARIABLE = "FORNADA_TRAINER_COMMAND"


@dataclass(frozen=True)
class Needs:
    """What a job needs from its trainer.

    Attributes:
        gpu: whether the job may use the slot's GPU, if the slot has a GPU.
        alone: whether the trainer must run no other job, before or after this one.
    """

    gpu: bool = True
    alone: bool = False


class Trainers:
    """Forks trainers through a factory, and keeps those that wait for another job.

    Libraries read some environment variables when they are imported, and these differ between
    slots with and without a GPU. So each of the two kinds of slots has a factory of its own.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        environment: Mapping[str, str],
        *,
        most_jobs: int,
        groups: TrainerGroups | None = None,
    ) -> None:
        """Store the arguments; no process is started yet.

        Args:
            slots: the slots of this worker.
            environment: environment for the trainers, without credentials.
            most_jobs: most jobs that one trainer runs, at least 1.
            groups: makes the control groups of trainers; None where they get none.
        """
        self._command = trainer_command()
        self._environment = dict(environment)
        self._kinds = {slot.has_gpu for slot in slots}
        self._threads = threads(slots)
        # The kernel kills a factory when the thread that started it ends. So this thread starts
        # all factories, and lives as long as the worker.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._most_jobs = most_jobs
        self._groups = groups
        # The waiting trainer of each slot, by the slot's name.
        self._warm: dict[str, Trainer] = {}
        # Key: whether the trainers of the factory may use a GPU.
        self._factories: dict[bool, Factory] = {}
        self._closed = False
        self._lock = threading.Lock()

    def take(self, slot: Slot, needs: Needs, timeout_s: float) -> Trainer | None:
        """The slot's warm trainer if the job can use it, else a new trainer.

        Args:
            slot: where the job runs.
            needs: what the job needs.
            timeout_s: how long to wait for a factory that has just been started.
        Returns:
            The trainer; None when the factory needs more time: call again.
        Raises:
            OSError: the host cannot start another process.
            FactoryEnded: the factory ended and forked no trainer.
        """
        # A warm trainer of a GPU slot uses the GPU, so a job without one needs a new trainer.
        without_gpu = slot.has_gpu and not needs.gpu
        trainer = None if without_gpu else self._take_warm(slot, unused=needs.alone)
        if trainer is None:
            trainer = self._fork(slot, gpu=slot.has_gpu and needs.gpu, timeout_s=timeout_s)
        if trainer is not None:
            trainer.jobs += 1
            trainer.again = not (without_gpu or needs.alone) and trainer.jobs < self._most_jobs
        return trainer

    def keep(self, slot: Slot, trainer: Trainer) -> None:
        """Keep a trainer for the slot's next job."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._warm[slot.name] = trainer
        if closed:
            trainer.kill()

    def prepare(self) -> None:
        """Start the factories that are missing, and drop warm trainers that have ended."""
        with self._lock:
            ended = [name for name, trainer in self._warm.items() if not trainer.running]
            for name in ended:
                _log_end(name, self._warm.pop(name))
        for gpu in self._kinds:
            try:
                self._factory(gpu=gpu)
            except OSError as exc:
                # The next job tries again, and fails with the reason if that fails too.
                log.warning("cannot start a trainer factory: %s", exc)

    def close(self) -> None:
        """End all waiting trainers and all factories."""
        with self._lock:
            self._closed = True
            warm, self._warm = list(self._warm.values()), {}
            factories, self._factories = list(self._factories.values()), {}
        for trainer in warm:
            trainer.kill()
        for factory in factories:
            factory.close()

    def _fork(self, slot: Slot, *, gpu: bool, timeout_s: float) -> Trainer | None:
        factory = self._factory(gpu=gpu)
        if not factory.ready(timeout_s):
            return None
        trainer = factory.trainer(slot.devices(gpu=gpu), slot.lock)
        trainer.group = None if self._groups is None else self._groups.put(trainer.pid)
        return trainer

    def _factory(self, *, gpu: bool) -> Factory:
        """The running factory of a kind; starts it when it does not run.

        Raises:
            OSError: the host cannot start it.
        """
        with self._lock:
            factory = self._factories.get(gpu)
            if factory is not None and not factory.running:
                log.warning("the trainer factory ended: %s", factory.close())
                factory = None
            if factory is None:
                factory = self._starter.submit(self._start, gpu=gpu).result()
                self._factories[gpu] = factory
            return factory

    def _start(self, *, gpu: bool) -> Factory:
        return Factory(self._command, environment(self._environment, self._threads, gpu=gpu))

    def _take_warm(self, slot: Slot, *, unused: bool) -> Trainer | None:
        """Take the slot's warm trainer; when the job needs an unused one, kill it instead."""
        with self._lock:
            trainer = self._warm.pop(slot.name, None)
        if trainer is None:
            return None
        if not trainer.running:
            _log_end(slot.name, trainer)
            return None
        if unused:
            trainer.kill()
            return None
        return trainer


def trainer_command() -> tuple[str, ...]:
    """The factory program: Fornada's own, unless a benchmark or a test names another."""
    given = os.environ.get(COMMAND_VARIABLE)
    # -P: the current folder must not be able to replace a module.
    return (
        tuple(shlex.split(given))
        if given
        else (sys.executable, "-P", "-m", "fornada.worker.trainer")
    )


def _log_end(slot: str, trainer: Trainer) -> None:
    log.warning("the trainer that waited on slot %s ended: %s", slot, trainer.kill())
