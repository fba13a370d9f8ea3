"""One reading of one spec: where values stand, and the problems found on the way."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from fornada.db.states import FailureCode
from fornada.spec.problems import Problem
from fornada.spec.source.nodes import Mark
from fornada.spec.values import KerasObject
from fornada.spec.wording import clip


class Refused(Exception):  # control flow: the problem is already recorded
    """Control flow: a value could not be read, and its problem is recorded already."""


@dataclass
class Reading:
    """What is known while a spec is read.

    Attributes:
        file: how problems name it.
        data_root: folder that every path must lie under.
        base: folder that paths are taken from; None where they are stored ones, already
            relative to the data root.
        recorded: whether it is the document of a job: an earlier version may have accepted more.
        marks: by path, where each value was written.
        places: by identity, each Keras object that was read and the path it was read from.
    """

    file: str = "<spec>"
    data_root: Path = Path("/")
    base: Path | None = None
    recorded: bool = False
    problems: list[Problem] = field(default_factory=list)
    # What is accepted, and most likely not meant.
    warnings: list[Problem] = field(default_factory=list)
    marks: dict[tuple[str, ...], Mark] = field(default_factory=dict)
    places: dict[int, tuple[KerasObject, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class At:
    """A place in the spec that is being read."""

    reading: Reading
    path: tuple[str, ...] = ()

    def key(self, name: str) -> "At":
        """The place `name` below this one."""
        return At(self.reading, (*self.path, name))

    def seen(self, mark: Mark) -> None:
        """Remember where this place was written."""
        self.reading.marks[self.path] = mark

    def refuse(
        self, mark: Mark | None, message: str, code: FailureCode = FailureCode.SPEC_INVALID
    ) -> Refused:
        """Record a problem here; raise what this returns where the value is of no use.

        Args:
            mark: where it was written; None: where this place, or the nearest above, was.
        """
        self.reading.problems.append(self._problem(mark, message, code))
        return Refused()

    def warn(self, message: str) -> None:
        """Record that the value here is accepted, and most likely not meant."""
        self.reading.warnings.append(self._problem(None, message, FailureCode.SPEC_INVALID))

    def _problem(self, mark: Mark | None, message: str, code: FailureCode) -> Problem:
        mark = mark or self._mark()
        file = mark.override or self.reading.file
        path = ".".join(map(clip, self.path))
        return Problem(file, mark.line, path, message, code)

    def place(self, item: KerasObject) -> None:
        """Remember that `item` was read from here."""
        self.reading.places[id(item)] = (item, self.path)

    def of(self, item: KerasObject) -> "At":
        """Where `item` was read from."""
        return At(self.reading, self.reading.places[id(item)][1])

    def broken(self, *path: str) -> bool:
        """Whether a problem was found at or below `path`."""
        prefix = ".".join(path)
        found = (problem.path for problem in self.reading.problems)
        return any(f"{place}.".startswith(f"{prefix}.") for place in found)

    def afresh(self) -> "At":
        """The same place and marks, with no problem and no warning recorded yet."""
        return At(replace(self.reading, problems=[], warnings=[]), self.path)

    def trial(self) -> "At":
        """The same place in a reading whose problems are thrown away."""
        reading = self.reading
        return At(Reading(reading.file, reading.data_root, reading.base), self.path)

    def _mark(self) -> Mark:
        for length in range(len(self.path), -1, -1):
            if mark := self.reading.marks.get(self.path[:length]):
                return mark
        return Mark()
