"""Each slot's spare trainer, ready for the next job: just started, or back from the last one.

One that has just started has imported Keras and touched no device; so only one of a slot's trainers
ever has. All are started by one thread that lives as long as the worker: the parent-death signal
follows the thread that started a process, so a shorter thread would take its trainers with it.
"""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fornada.worker.slots import priority
from fornada.worker.slots.slots import Slot, threads
from fornada.worker.slots.trainer_process import Trainer

log = logging.getLogger("fornada.worker")

# Another program that speaks a trainer's messages, for measuring the queue without Keras.
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
    """Starts trainers, and keeps one ready for each slot."""

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
        self._threads = threads(slots)
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._most_jobs = most_jobs
        self._spares: dict[str, Trainer] = {}
        self._closed = False
        self._lock = threading.Lock()

    def take(self, slot: Slot, needs: Needs) -> Trainer:
        """The slot's spare, or a trainer just started when there is none that will do.

        Args:
            slot: where the job runs.
            needs: of the job; the spare always may use the slot's GPU.
        Raises:
            OSError: the host cannot start another process.
        """
        apart = slot.has_gpu and not needs.gpu
        spare = None if apart else self._spare(slot, unused=needs.alone)
        trainer = spare or self._start(slot, gpu=not apart)
        trainer.jobs += 1
        trainer.again = not (apart or needs.alone) and trainer.jobs < self._most_jobs
        return trainer

    def keep(self, slot: Slot, trainer: Trainer) -> None:
        """Have a trainer that waits for another job be the slot's spare."""
        with self._lock:
            other = self._spares.pop(slot.name, None)
            closed = self._closed
            if not closed:
                self._spares[slot.name] = trainer
        if closed:
            trainer.kill()
        if other is not None:
            # Started by whoever saw the slot just before it was taken.
            other.kill()

    def prepare(self, slot: Slot, *, gently: bool) -> None:
        """Have a spare ready before it is needed.

        Args:
            slot: to prepare for.
            gently: behind a running job, with what it leaves of the processor.
        """
        with self._lock:
            spare = self._spares.get(slot.name)
            if spare is not None and spare.running:
                return
            if spare is not None:
                log.warning("the spare trainer of slot %s ended: %s", slot.name, spare.kill())
            try:
                self._spares[slot.name] = trainer = self._start(slot)
            except OSError as exc:
                # The next job will start its own, or say why it cannot.
                log.warning("no spare trainer for slot %s: %s", slot.name, exc)
                return
        if gently:
            priority.lower(trainer.pid)
            trainer.lowered = True

    def close(self) -> None:
        """End all spares."""
        with self._lock:
            self._closed = True
            spares, self._spares = list(self._spares.values()), {}
        for spare in spares:
            spare.kill()

    def _start(self, slot: Slot, *, gpu: bool = True) -> Trainer:
        environment = slot.environment(self._environment, self._threads, gpu=gpu)
        return self._starter.submit(Trainer.start, self._command, slot, environment).result()

    def _spare(self, slot: Slot, *, unused: bool) -> Trainer | None:
        with self._lock:
            spare = self._spares.pop(slot.name, None)
        if spare is None:
            return None
        if not spare.running:
            log.warning("the spare trainer of slot %s ended: %s", slot.name, spare.kill())
            return None
        if unused and spare.jobs:
            spare.kill()
            return None
        if spare.lowered:
            priority.restore(spare.pid)
            spare.lowered = False
        return spare


def trainer_command() -> tuple[str, ...]:
    """The program that trains: ours, unless a benchmark or a test put a stub in its place."""
    given = os.environ.get(COMMAND_VARIABLE)
    # -P: the current folder must not be able to replace a module.
    return (
        tuple(shlex.split(given))
        if given
        else (sys.executable, "-P", "-m", "fornada.worker.trainer")
    )
