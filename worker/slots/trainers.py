"""Trainers: each slot's warm one, which has served a job and waits for another, or a new one.

A trainer that was just forked has touched no device; so only one of a slot's trainers ever has.
"""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fornada.worker.slots.factory import Factory
from fornada.worker.slots.slots import Slot, environment, threads
from fornada.worker.slots.trainer_process import Trainer

log = logging.getLogger("fornada.worker")

# Another program that forks what speaks a trainer's messages, to measure the queue without Keras.
COMMAND_VARIABLE = "FORNADA_TRAINER_COMMAND"


@dataclass(frozen=True)
class Needs:
    """What a job asks of its trainer.

    Attributes:
        gpu: whether it may use the slot's GPU, where there is one.
        alone: whether the trainer must serve no other job, before or after.
    """

    gpu: bool = True
    alone: bool = False


class Trainers:
    """Has trainers forked, and keeps those that wait for another job.

    Libraries read some variables when they are imported, and slots with a GPU have others of these
    than slots without; so there is a factory for each of the two kinds that the worker has.
    """

    def __init__(
        self, slots: Sequence[Slot], environment: Mapping[str, str], *, most_jobs: int
    ) -> None:
        """Start nothing yet.

        Args:
            slots: of this worker.
            environment: for trainers, without credentials.
            most_jobs: that a trainer serves, at least 1.
        """
        self._command = trainer_command()
        self._environment = dict(environment)
        self._kinds = {slot.has_gpu for slot in slots}
        self._threads = threads(slots)
        # A factory dies with the thread that started it: this one lives as long as the worker.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._most_jobs = most_jobs
        self._warm: dict[str, Trainer] = {}
        # By whether their trainers may use a GPU.
        self._factories: dict[bool, Factory] = {}
        self._closed = False
        self._lock = threading.Lock()

    def take(self, slot: Slot, needs: Needs, timeout_s: float) -> Trainer | None:
        """The slot's warm trainer, or one just forked when there is none that will do.

        Args:
            slot: where the job runs.
            needs: of the job; a warm trainer may use the slot's GPU.
            timeout_s: how long to wait for a factory that has just been started.
        Returns:
            None when the factory needs more time; ask again.
        Raises:
            OSError: the host cannot start another process.
            FactoryEnded: the factory came to its end instead of forking one.
        """
        apart = slot.has_gpu and not needs.gpu
        trainer = None if apart else self._warm_one(slot, unused=needs.alone)
        if trainer is None:
            trainer = self._fork(slot, gpu=slot.has_gpu and needs.gpu, timeout_s=timeout_s)
        if trainer is not None:
            trainer.jobs += 1
            trainer.again = not (apart or needs.alone) and trainer.jobs < self._most_jobs
        return trainer

    def keep(self, slot: Slot, trainer: Trainer) -> None:
        """Have a trainer wait for the slot's next job."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._warm[slot.name] = trainer
        if closed:
            trainer.kill()

    def prepare(self) -> None:
        """See that each kind of slot has its factory; collect warm trainers that have ended."""
        with self._lock:
            ended = [name for name, trainer in self._warm.items() if not trainer.running]
            for name in ended:
                _tell_of_end(name, self._warm.pop(name))
        for gpu in self._kinds:
            try:
                self._factory(gpu=gpu)
            except OSError as exc:
                # The next job will start it, or say why it cannot.
                log.warning("trainers cannot be prepared: %s", exc)

    def close(self) -> None:
        """End all that wait, and all factories."""
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
        return factory.trainer(slot.devices(gpu=gpu), slot.lock)

    def _factory(self, *, gpu: bool) -> Factory:
        """The living factory of a kind; starts one where there is none.

        Raises:
            OSError: the host cannot start it.
        """
        with self._lock:
            factory = self._factories.get(gpu)
            if factory is not None and not factory.running:
                log.warning("the factory of trainers ended: %s", factory.close())
                factory = None
            if factory is None:
                factory = self._starter.submit(self._start, gpu=gpu).result()
                self._factories[gpu] = factory
            return factory

    def _start(self, *, gpu: bool) -> Factory:
        return Factory(self._command, environment(self._environment, self._threads, gpu=gpu))

    def _warm_one(self, slot: Slot, *, unused: bool) -> Trainer | None:
        with self._lock:
            trainer = self._warm.pop(slot.name, None)
        if trainer is None:
            return None
        if not trainer.running:
            _tell_of_end(slot.name, trainer)
            return None
        if unused:
            trainer.kill()
            return None
        return trainer


def trainer_command() -> tuple[str, ...]:
    """The program that forks trainers: ours, unless a benchmark or a test has put another there."""
    given = os.environ.get(COMMAND_VARIABLE)
    # -P: the current folder must not be able to replace a module.
    return (
        tuple(shlex.split(given))
        if given
        else (sys.executable, "-P", "-m", "fornada.worker.trainer")
    )


def _tell_of_end(slot: str, trainer: Trainer) -> None:
    log.warning("the trainer that waited on slot %s ended: %s", slot, trainer.kill())
