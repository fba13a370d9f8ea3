"""Keeps the newest two states of an attempt on disk; a reader never sees half a state.

    state/0000012-0000340/<sha256>.safetensors    after 12 epochs and 340 batches of the next
    state/0000012-0000340/best.keras              a hard link to the best model at that moment

A state is written into `state/writing`, flushed to disk, and then renamed. So a process that dies
at any moment leaves no half-written state under a name that is read. Another thread writes the
state, and the training goes on as soon as its values are copied, because writing a large model may
take longer than an epoch.
"""

import errno
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from fornada.db.records import TRAINING_STATE
from fornada.db.states import FailureCode
from fornada.sync import sync_folder
from fornada.worker.attempt_files import record
from fornada.worker.messages import FileRecord
from fornada.worker.trainer.failures import TrainingFailed
from fornada.worker.trainer.outputs import atomic_files
from fornada.worker.trainer.state import tensors
from fornada.worker.trainer.state.contents import Place, State
from fornada.worker.trainer.state.finding import FOLDER, SUFFIX, name_of, states

_WRITING, _REMOVING = "writing", "removing"
# How many states are kept.
_KEPT = 2
# Saves in a row without disk space, after which the job fails.
_MOST_MISSES = 3
# A save that costs at most its share of an epoch of this length is always affordable.
_EPOCH_S = 5.0
# Numbers saved in a second, to estimate the cost of the first save.
_NUMBERS_PER_S = 5e7
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StateStore:
    """Saves the states of one attempt.

    Args:
        folder: the attempt's folder, which also holds its model files.
        every_s: how often a state is saved within an epoch.
        share: largest share of the time that saving may take.
        size: how many numbers a state holds, to estimate the cost of the first save.

    Attributes:
        held: seconds that the training waited, for each save.
        beside: seconds of processor time in the saving thread, for each save that has ended.
    """

    def __init__(
        self, folder: Path, every_s: float, share: float, size: Callable[[], int] = lambda: 0
    ) -> None:
        self._attempt = folder
        self._folder = folder / FOLDER
        self._every_s = every_s
        self._share = share
        self._size = size
        # The training thread appends to `held`, the saving thread to `beside`.
        self.held: list[float] = []
        self.beside: list[float] = []
        self._begun = self._last = time.monotonic()
        self._misses = 0
        self._place: tuple[int, int] | None = None
        # One thread only, so that tasks run in the order in which they are given.
        self._saving_thread = ThreadPoolExecutor(1, "keeper")
        self._under_way: list[Future[Any]] = []

    @property
    def due(self) -> bool:
        """Whether it is time for a state within an epoch."""
        if not all(each.done() for each in self._under_way):
            return False
        return time.monotonic() - self._last > self._every_s and self._earned

    @property
    def affordable(self) -> bool:
        """Whether a state at the end of this epoch keeps saving within its share of the time."""
        return self._cost_s <= _EPOCH_S * self._share or self._earned

    def has(self, place: Place) -> bool:
        """Whether the newest saved state is of this place. A running save does not count."""
        return self._place == place.order

    @property
    def has_all(self) -> bool:
        """Whether as many states exist as are kept."""
        return len(states(self._attempt)) == _KEPT

    def save(self, state: Callable[[], State]) -> None:
        """Wait for the previous save, then start to save a state; `settle` waits for its end.

        If the disk has no space for the state, the log says so and the earlier states are kept.

        Args:
            state: returns the present state, with copies of its arrays.

        Raises:
            TrainingFailed: DISK_FULL: the previous save was the third in a row without space.
            OSError: the previous state could not be written for another reason.
        """
        begin = time.monotonic()
        self.settle()
        linked = threading.Event()
        self._under_way = [self._saving_thread.submit(self._save, state(), linked)]
        # Wait until the model files are linked: the training may replace them when it goes on.
        linked.wait()
        self._last = time.monotonic()
        self.held.append(self._last - begin)

    def after(self, call: Callable[[], object]) -> None:
        """Call a function in the saving thread, after the running saves."""
        self._under_way.append(self._saving_thread.submit(call))

    def settle(self) -> None:
        """Wait until all saves and calls have ended.

        Raises:
            TrainingFailed: DISK_FULL, after three saves in a row without space.
            OSError: a state could not be written for another reason.
        """
        ended, self._under_way = self._under_way, []
        wait(ended)
        for each in ended:
            each.result()

    def close(self) -> list[FileRecord]:
        """Remove all states except the newest.

        Returns:
            The record of the newest state; empty if no state was saved.
        """
        self._remove_all_but(1)
        kept = states(self._attempt)
        return [record(TRAINING_STATE, each.file) for each in kept]

    @property
    def _cost_s(self) -> float:
        """Seconds that the next save will probably cost."""
        if not self.held:
            return self._size() / _NUMBERS_PER_S
        return self.held[-1] + sum(self.beside[-1:])

    @property
    def _earned(self) -> bool:
        """Whether all saves so far, the next and the last one keep within the share of the time."""
        spent_s = sum(self.held) + sum(self.beside) + 2 * self._cost_s
        return spent_s <= (time.monotonic() - self._begun) * self._share

    def _save(self, state: State, linked: threading.Event) -> None:
        begin = time.thread_time()
        try:
            self._write(state, linked)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._missed(str(error))
        else:
            self._misses, self._place = 0, state.facts.place.order
        finally:
            linked.set()
            self.beside.append(time.thread_time() - begin)

    def _write(self, state: State, linked: threading.Event) -> None:
        facts = state.facts.model_dump_json()
        self._folder.mkdir(exist_ok=True)
        size = tensors.size(facts, state.arrays)
        atomic_files.check_room(self._folder, size, "a training state takes")
        writing = self._without_rest(_WRITING)
        try:
            writing.mkdir()
            for name in state.facts.files:
                # The name of a checkpoint may contain folders.
                (writing / name).parent.mkdir(parents=True, exist_ok=True)
                atomic_files.link(self._attempt / name, writing / name)
            linked.set()
            file = writing / f"writing{SUFFIX}"
            _, sha256 = tensors.write(file, facts, state.arrays)
            file.rename(writing / f"{sha256}{SUFFIX}")
            sync_folder(writing)
            final = self._folder / name_of(state.facts.place)
            if final.exists():
                # An earlier save got this far, and then failed because the disk was full.
                final.rename(self._without_rest(_REMOVING))
            writing.rename(final)
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        sync_folder(self._folder)
        sync_folder(self._attempt)
        self._remove_all_but(_KEPT)

    def _missed(self, why: str) -> None:
        self._misses += 1
        print(f"state: not saved, no room ({self._misses} of {_MOST_MISSES}): {why}")
        if self._misses >= _MOST_MISSES:
            raise TrainingFailed(
                FailureCode.DISK_FULL,
                f"{_MOST_MISSES} training states in a row found no room: {why}. The last good "
                "state and the best model are kept; make room and retry.",
            )

    def _remove_all_but(self, kept: int) -> None:
        """Remove old states. Each is renamed first, so that nobody reads a half-removed state."""
        for old in states(self._attempt)[:-kept]:
            old.folder.rename(self._without_rest(_REMOVING))
        self._without_rest(_REMOVING)

    def _without_rest(self, name: str) -> Path:
        """Path of a working folder, after removing what an earlier save left there."""
        path = self._folder / name
        if path.exists():
            shutil.rmtree(path)
        return path


def remove_earlier(folder: Path, attempt: int) -> None:
    """Remove the states of a job's earlier attempts, never those of a later attempt.

    Args:
        folder: folder of this attempt, `<uid>/attempt-<number>`.
        attempt: number of this attempt.
    """
    for earlier in earlier_attempts(folder, attempt):
        shutil.rmtree(earlier / FOLDER, ignore_errors=True)


def earlier_attempts(folder: Path, attempt: int) -> list[Path]:
    """Folders of the attempts before this one; for the arguments see `remove_earlier`."""
    return [folder.with_name(f"attempt-{number}") for number in range(1, attempt)]
