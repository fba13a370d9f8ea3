"""The state of reading one spec: where each value was written, and the problems found so far."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from fornada.db.states import FailureCode
from fornada.spec.problems import Problem
from fornada.spec.source.nodes import Mark
from fornada.spec.values import KerasObject
from fornada.spec.wording import clip


class Refused(Exception):  # control flow, not an error: the problem is already recorded
    """A value could not be read. Its problem is already recorded, so readers only skip it."""


@dataclass
class Reading:
    """What is known while one spec is read.

    Attributes:
        file: name of the spec in problems.
        data_root: folder that must contain every path.
        base: folder that relative paths start from; None: paths are already relative to the data
            root, as documents store them.
        recorded: whether this is a recorded job's document. An earlier version of Fornada may
            have accepted what this version refuses.
        problems: what is refused.
        warnings: what is accepted but is probably a mistake.
        marks: where each value was written, by the value's path in the spec.
        places: each Keras object with its path in the spec, by `id` of the object.
    """

    file: str = "<spec>"
    data_root: Path = Path("/")
    base: Path | None = None
    recorded: bool = False
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    marks: dict[tuple[str, ...], Mark] = field(default_factory=dict)
    places: dict[int, tuple[KerasObject, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class At:
    """A place in the spec that is being read: the reading, and a path in the spec."""

    reading: Reading
    path: tuple[str, ...] = ()

    def key(self, name: str) -> "At":
        """The place of `name` inside this one."""
        return At(self.reading, (*self.path, name))

    def record_mark(self, mark: Mark) -> None:
        """Remember where in the text this place was written."""
        self.reading.marks[self.path] = mark

    def refuse(
        self, mark: Mark | None, message: str, code: FailureCode = FailureCode.SPEC_INVALID
    ) -> Refused:
        """Record a problem here. Raise the returned exception if the value cannot be used.

        Args:
            mark: where the value was written; None: the mark of this place, or of the nearest
                place around it that has one.
            message: what is wrong and what is expected.
            code: the failure code of the problem.
        """
        self.reading.problems.append(self._problem(mark, message, code))
        return Refused()

    def warn(self, message: str) -> None:
        """Record that the value here is accepted but is probably a mistake."""
        self.reading.warnings.append(self._problem(None, message, FailureCode.SPEC_INVALID))

    def _problem(self, mark: Mark | None, message: str, code: FailureCode) -> Problem:
        mark = mark or self._mark()
        file = mark.override or self.reading.file
        path = ".".join(map(clip, self.path))
        return Problem(file, mark.line, path, message, code)

    def record_place(self, item: KerasObject) -> None:
        """Remember that `item` was read from this place."""
        self.reading.places[id(item)] = (item, self.path)

    def place_of(self, item: KerasObject) -> "At":
        """The place that `item` was read from."""
        return At(self.reading, self.reading.places[id(item)][1])

    def has_problem(self, *path: str) -> bool:
        """Whether a problem was found at `path` or inside it."""
        prefix = ".".join(path)
        found = (problem.path for problem in self.reading.problems)
        return any(f"{place}.".startswith(f"{prefix}.") for place in found)

    def without_problems(self) -> "At":
        """A copy of this place with the same marks, but without any problem or warning yet."""
        return At(replace(self.reading, problems=[], warnings=[]), self.path)

    def trial(self) -> "At":
        """The same place in a temporary reading, to try whether a value can be read."""
        reading = self.reading
        return At(Reading(reading.file, reading.data_root, reading.base), self.path)

    def _mark(self) -> Mark:
        for length in range(len(self.path), -1, -1):
            if mark := self.reading.marks.get(self.path[:length]):
                return mark
        return Mark()
