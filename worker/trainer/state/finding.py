"""Finds the state that a training goes on from."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fornada.worker.attempt_files import sha256
from fornada.worker.trainer.state import tensors
from fornada.worker.trainer.state.contents import Progress, State, parse
from fornada.worker.trainer.state.tensors import Broken

# In an attempt's folder.
FOLDER = "state"
SUFFIX = ".safetensors"
_NAME = re.compile(r"(\d+)-(\d+)")
# What says that there is no such file; after any other error there may be one.
MISSING = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True)
class SavedState:
    """A state on disk, not yet read.

    Attributes:
        folder: holds its file and its models.
        order: epochs and batches done.
    """

    folder: Path
    order: tuple[int, int]

    @property
    def file(self) -> Path:
        """The file of facts and arrays.

        Raises:
            Broken: there is not exactly one.
            OSError: the folder cannot be read.
        """
        # Not by glob, to which a folder that cannot be read is an empty one.
        found = [path for path in self.folder.iterdir() if path.suffix == SUFFIX]
        if len(found) != 1:
            raise Broken(f"it holds {len(found)} files of numbers")
        return found[0]

    def read(self) -> State:
        """Read it whole and compare all checksums.

        Raises:
            Broken: it is not what was saved.
            OSError: it cannot be read.
        """
        file = self.file
        state = parse(*tensors.read(file, file.stem))
        for name, told in state.facts.files.items():
            found = sha256(self.folder / name)
            if found != told:
                raise Broken(f"the sha256 of {name} is {found[:16]}…, not {told[:16]}…")
        return state


def name_of(place: Progress) -> str:
    """The name of a state's folder; names sort as the states."""
    return f"{place.epochs:07}-{place.batch:07}"


def states(attempt: Path) -> list[SavedState]:
    """The states of an attempt, oldest first; one that was being written is none.

    Args:
        attempt: its folder.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    try:
        paths = list((attempt / FOLDER).iterdir())
    except MISSING:
        return []
    found = []
    for path in paths:
        if match := _NAME.fullmatch(path.name):
            found.append(SavedState(path, (int(match[1]), int(match[2]))))
    return sorted(found, key=lambda kept: kept.order)


def find(
    attempts: Sequence[Path], own: Path, fits: Callable[[State], None], say: Callable[[str], None]
) -> tuple[State, Path] | None:
    """The furthest state that is whole and fits, of this job before those of another.

    Args:
        attempts: folders to look in; of two states at one place the first folder's is taken.
        own: the folder that holds all attempts of this job.
        fits: raises `Broken` for a state of another training.
        say: hears why a state is not used.
    Returns:
        The state, and the folder that holds it and its models.

    Raises:
        OSError: one cannot be read. It may be good all the same, and the furthest.
    """
    gone = True
    while gone:
        gone = False
        for kept in _candidates(attempts, own):
            try:
                state = kept.read()
                fits(state)
            except (Broken, *MISSING) as error:
                say(f"state: {kept.folder} is not used: {error}")
                # Of an attempt that was lost and trains on: it has saved another since.
                gone = gone or not os.path.lexists(kept.folder)
            else:
                return state, kept.folder
    return None


def _candidates(attempts: Sequence[Path], own: Path) -> list[SavedState]:
    found = [kept for attempt in attempts for kept in reversed(states(attempt))]
    # Stable: the order of folders decides between equals.
    found.sort(key=lambda kept: kept.order, reverse=True)
    found.sort(key=lambda kept: kept.folder.parents[2] != own)
    return found
