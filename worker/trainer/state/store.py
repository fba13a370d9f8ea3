"""Keeps the newest two states of an attempt on disk, each whole or not there at all.

    state/000012-000340/<sha256>.safetensors    after 12 epochs and 340 batches of the next
    state/000012-000340/best.keras              the best model at that moment, by a hard link

A state is written in `state/writing`, brought to disk, and then given its name, so that no
moment at which a process can die leaves half of one under a name that is read. A thread does so
beside the training, which goes on as soon as its numbers are copied: a large model takes longer
to reach the disk than an epoch may be held up.
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
from fornada.worker.trainer.state.contents import Progress, State
from fornada.worker.trainer.state.finding import FOLDER, SUFFIX, name_of, states

_WRITING, _REMOVING = "writing", "removing"
_KEPT = 2
# Saves in a row that found no room before the job fails.
_MOST_MISSES = 3
# The shortest epochs, in seconds, that the share of the time holds for.
_EPOCH_S = 5.0
# Numbers that are copied, summed and written in a second, until a save has been timed.
_NUMBERS_PER_S = 5e7
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StateStore:
    """Saves the states of one attempt.

    Args:
        folder: of the attempt; its model files lie in it.
        every_s: how often within an epoch.
        share: of the time, that saving may take.
        size: how many numbers a state has, for what the first one will cost.

    Attributes:
        held: seconds that the training waited, for each save.
        beside: seconds of computing beside it, for each save that has ended.
    """

    def __init__(
        self, folder: Path, every_s: float, share: float, size: Callable[[], int] = lambda: 0
    ) -> None:
        self._attempt = folder
        self._folder = folder / FOLDER
        self._every_s = every_s
        self._share = share
        self._size = size
        # Each by a thread of its own.
        self.held: list[float] = []
        self.beside: list[float] = []
        self._begun = self._last = time.monotonic()
        self._misses = 0
        self._place: tuple[int, int] | None = None
        # One thread: what it is given is done in that order.
        self._beside = ThreadPoolExecutor(1, "keeper")
        self._under_way: list[Future[Any]] = []

    @property
    def due(self) -> bool:
        """Whether it is time for a state within an epoch."""
        if not all(each.done() for each in self._under_way):
            return False
        return time.monotonic() - self._last > self._every_s and self._earned

    @property
    def affordable(self) -> bool:
        """Whether one more state at the end of an epoch keeps within the share of the time."""
        return self._cost_s <= _EPOCH_S * self._share or self._earned

    def has(self, place: Progress) -> bool:
        """Whether the newest state was saved here; what is under way does not count."""
        return self._place == place.order

    @property
    def has_all(self) -> bool:
        """Whether there are as many states as are kept."""
        return len(states(self._attempt)) == _KEPT

    def save(self, state: Callable[[], State]) -> None:
        """Begin to save a state, once the one before is saved; `settle` waits for its end.

        Where there is no room for it that is said, and what is there is kept.

        Args:
            state: gives it as it is now, its arrays copied.

        Raises:
            TrainingFailed: DISK_FULL, of the one before: the third in a row without room.
            OSError: of the one before: it could not be written for another reason.
        """
        begin = time.monotonic()
        self.settle()
        linked = threading.Event()
        self._under_way = [self._beside.submit(self._save, state(), linked)]
        # The training may find a better model as soon as it goes on.
        linked.wait()
        self._last = time.monotonic()
        self.held.append(self._last - begin)

    def after(self, call: Callable[[], object]) -> None:
        """Call something once what is under way is saved, in the thread that saves."""
        self._under_way.append(self._beside.submit(call))

    def settle(self) -> None:
        """Wait until all that is under way has ended.

        Raises:
            TrainingFailed: DISK_FULL, after three times without room.
            OSError: it cannot be written for another reason.
        """
        ended, self._under_way = self._under_way, []
        wait(ended)
        for each in ended:
            each.result()

    def close(self) -> list[FileRecord]:
        """Keep the newest state alone; the file to report, if one could be saved."""
        self._clear(1)
        kept = states(self._attempt)
        return [record(TRAINING_STATE, each.file) for each in kept]

    @property
    def _cost_s(self) -> float:
        if not self.held:
            return self._size() / _NUMBERS_PER_S
        return self.held[-1] + sum(self.beside[-1:])

    @property
    def _earned(self) -> bool:
        """Whether the time so far pays for each save, one more, and the one that ends it all."""
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
        writing = self._fresh(_WRITING)
        try:
            writing.mkdir()
            for name in state.facts.files:
                # A checkpoint's name may lie in sub-folders.
                (writing / name).parent.mkdir(parents=True, exist_ok=True)
                atomic_files.link(self._attempt / name, writing / name)
            linked.set()
            beside = writing / f"writing{SUFFIX}"
            _, sha256 = tensors.write(beside, facts, state.arrays)
            beside.rename(writing / f"{sha256}{SUFFIX}")
            sync_folder(writing)
            final = self._folder / name_of(state.facts.place)
            if final.exists():
                # Renamed before, and the disk was full for what comes after.
                final.rename(self._fresh(_REMOVING))
            writing.rename(final)
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        sync_folder(self._folder)
        sync_folder(self._attempt)
        self._clear(_KEPT)

    def _missed(self, why: str) -> None:
        self._misses += 1
        print(f"state: not saved, no room ({self._misses} of {_MOST_MISSES}): {why}")
        if self._misses >= _MOST_MISSES:
            raise TrainingFailed(
                FailureCode.DISK_FULL,
                f"{_MOST_MISSES} training states in a row found no room: {why}. The last good one "
                "and the best model are kept; make room and retry.",
            )

    def _clear(self, kept: int) -> None:
        """Remove all but the newest; each loses its name first, so that none is read by halves."""
        for old in states(self._attempt)[:-kept]:
            old.folder.rename(self._fresh(_REMOVING))
        self._fresh(_REMOVING)

    def _fresh(self, name: str) -> Path:
        path = self._folder / name
        if path.exists():
            shutil.rmtree(path)
        return path


def remove_earlier(folder: Path, attempt: int) -> None:
    """Remove the states of a job's earlier attempts; a later one's are not ours to judge.

    Args:
        folder: of this attempt, `<uid>/attempt-<number>`.
        attempt: its number.
    """
    for earlier in earlier_attempts(folder, attempt):
        shutil.rmtree(earlier / FOLDER, ignore_errors=True)


def earlier_attempts(folder: Path, attempt: int) -> list[Path]:
    """Folders of the attempts before this one; arguments as of `remove_earlier`."""
    return [folder.with_name(f"attempt-{number}") for number in range(1, attempt)]
