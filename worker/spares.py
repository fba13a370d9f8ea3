"""Each slot's spare trainer: Keras imported, no device touched, ready for the next job.

All trainers are started by one thread that lives as long as the worker: the parent-death signal
follows the thread that started a process, so a shorter thread would take its trainers with it.
"""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.process import Trainer
from worker.slots import Slot, threads

log = logging.getLogger("fornada.worker")

# Another program that speaks a trainer's messages, for measuring the queue without Keras.
COMMAND_VARIABLE = "FORNADA_TRAINER_COMMAND"
# Importing Keras takes seconds of a core; a running job goes before the next one's spare.
NICE = 15


class Trainers:
    """Starts trainers, and keeps one ready for each slot."""

    def __init__(self, slots: Sequence[Slot], environment: Mapping[str, str]) -> None:
        """Start nothing yet.

        Args:
            slots: of this worker.
            environment: for trainers, without credentials.
        """
        self._command = trainer_command()
        self._environment = dict(environment)
        self._threads = threads(slots)
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._spares: dict[str, _Spare] = {}
        self._lock = threading.Lock()

    def take(self, slot: Slot, *, gpu: bool = True) -> Trainer:
        """The slot's spare, or a trainer just started when there is none alive.

        Args:
            slot: where the job runs.
            gpu: whether the job may use the slot's GPU; the spare always may, so a job that must
                not gets a trainer of its own.
        Raises:
            OSError: the host cannot start another process.
        """
        if slot.has_gpu and not gpu:
            return self._start(slot, gpu=False)
        with self._lock:
            spare = self._spares.pop(slot.name, None)
        if spare is not None and spare.trainer.running:
            if spare.niced:
                _hurry(spare.trainer)
            return spare.trainer
        if spare is not None:
            spare.bury(slot)
        return self._start(slot)

    def prepare(self, slot: Slot, *, gently: bool) -> None:
        """Have a spare ready before it is needed.

        Args:
            slot: to prepare for.
            gently: behind a running job, with what it leaves of the processor.
        """
        with self._lock:
            spare = self._spares.get(slot.name)
            if spare is not None and spare.trainer.running:
                return
            if spare is not None:
                spare.bury(slot)
            try:
                self._spares[slot.name] = spare = _Spare(self._start(slot))
            except OSError as exc:
                # The next job will start its own, or say why it cannot.
                log.warning("no spare trainer for slot %s: %s", slot.name, exc)
                return
            if gently and can_hurry_again():
                os.setpriority(os.PRIO_PROCESS, spare.trainer.pid, NICE)
                spare.niced = True

    def close(self) -> None:
        """End all spares."""
        with self._lock:
            spares, self._spares = list(self._spares.values()), {}
        for spare in spares:
            spare.trainer.kill()

    def _start(self, slot: Slot, *, gpu: bool = True) -> Trainer:
        environment = slot.environment(self._environment, self._threads, gpu=gpu)
        return self._starter.submit(Trainer.start, self._command, slot, environment).result()


@dataclass
class _Spare:
    """A trainer that waits for a job."""

    trainer: Trainer
    # Behind a running job, until it is taken.
    niced: bool = False

    def bury(self, slot: Slot) -> None:
        """It has ended before a job came."""
        log.warning("the spare trainer of slot %s ended: %s", slot.name, self.trainer.kill())


def _hurry(trainer: Trainer) -> None:
    # Linux keeps the priority of each thread apart.
    for thread in Path(f"/proc/{trainer.pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), 0)


def trainer_command() -> tuple[str, ...]:
    """The program that trains: ours, unless a benchmark or a test put a stub in its place."""
    given = os.environ.get(COMMAND_VARIABLE)
    # -P: the current folder must not be able to replace a module.
    return tuple(shlex.split(given)) if given else (sys.executable, "-P", "-m", "worker.trainer")


def can_hurry_again() -> bool:
    """Whether this process may take a lower priority back; without privileges mostly not."""
    answer = []

    def probe() -> None:
        # In a thread of its own, whose priority goes with it.
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, 1)
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, own, 0)
            answer.append(True)

    thread = threading.Thread(target=probe, name="probe")
    thread.start()
    thread.join()
    return bool(answer)
