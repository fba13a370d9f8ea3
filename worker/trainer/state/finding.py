"""Finds the state from which a training resumes."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fornada.worker.attempt_files import sha256
from fornada.worker.trainer.state import tensors
from fornada.worker.trainer.state.contents import Place, State, parse
from fornada.worker.trainer.state.tensors import Broken

# Folder of the states in an attempt's folder.
FOLDER = "state"
SUFFIX = ".safetensors"
_NAME = re.compile(r"(\d+)-(\d+)")
# Errors that prove that a file does not exist. After any other error it may exist.
MISSING = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True)
class SavedState:
    """A state on disk that has not been read yet.

    Attributes:
        folder: folder that holds its file and its models.
        order: finished epochs and batches.
    """

    folder: Path
    order: tuple[int, int]

    @property
    def file(self) -> Path:
        """The file of facts and arrays.

        Raises:
            Broken: the folder does not hold exactly one such file.
            OSError: the folder cannot be read.
        """
        # Not `glob`: it finds nothing, without an error, in a folder that cannot be read.
        found = [path for path in self.folder.iterdir() if path.suffix == SUFFIX]
        if len(found) != 1:
            raise Broken(f"it holds {len(found)} {SUFFIX} files instead of one")
        return found[0]

    def read(self) -> State:
        """Read the whole state and compare all checksums.

        Raises:
            Broken: the state differs from what was saved.
            OSError: the state cannot be read.
        """
        file = self.file
        # The name of the file is its sha256.
        state = parse(*tensors.read(file, file.stem))
        for name, expected in state.facts.files.items():
            found = sha256(self.folder / name)
            if found != expected:
                raise Broken(f"the sha256 of {name} is {found[:16]}…, not {expected[:16]}…")
        return state


def name_of(place: Place) -> str:
    """Name of a state's folder. Names sort in the order of the states."""
    return f"{place.epochs:07}-{place.batch:07}"


def states(attempt: Path) -> list[SavedState]:
    """The complete states of an attempt, oldest first.

    Args:
        attempt: the attempt's folder.

    Raises:
        OSError: the folder exists but cannot be read.
    """
    try:
        paths = list((attempt / FOLDER).iterdir())
    except MISSING:
        return []
    found = []
    for path in paths:
        if match := _NAME.fullmatch(path.name):
            found.append(SavedState(path, (int(match[1]), int(match[2]))))
    return sorted(found, key=lambda saved: saved.order)


def find(
    attempts: Sequence[Path],
    own: Path,
    fits: Callable[[State], None],
    refuse: Callable[[Path, Exception], object],
) -> tuple[State, Path] | None:
    """The most advanced state that is complete and fits. States of this job come first.

    Args:
        attempts: folders of attempts. When two states are equally advanced, the first folder wins.
        own: the folder that holds all attempts of this job.
        fits: raises `Broken` for a state of another training.
        refuse: called with the folder of a state that is not used, and the error that says why.
    Returns:
        The state, and the folder that holds it and its models.

    Raises:
        OSError: a state cannot be read. It may be good, and the most advanced.
    """
    removed = True
    while removed:
        removed = False
        for saved in _candidates(attempts, own):
            try:
                state = saved.read()
                fits(state)
            except (Broken, *MISSING) as error:
                refuse(saved.folder, error)
                # A lost attempt that still trains may have replaced this state. Then look again.
                removed = removed or not os.path.lexists(saved.folder)
            else:
                return state, saved.folder
    return None


def _candidates(attempts: Sequence[Path], own: Path) -> list[SavedState]:
    found = [saved for attempt in attempts for saved in reversed(states(attempt))]
    # Sorting is stable, so the order of the folders decides between equally advanced states.
    found.sort(key=lambda saved: saved.order, reverse=True)
    found.sort(key=lambda saved: saved.folder.parents[2] != own)
    return found
