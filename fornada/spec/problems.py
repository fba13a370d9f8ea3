"""What is wrong with a spec, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fornada.db.states import FailureCode


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one spec.

    Attributes:
        file: the spec's file as the person named it, or the `--set` that brought the value.
        line: counted from 1; None where there is no text (a document, an override).
        path: dotted place in the spec, such as `model.3.Dense.units`; empty for the whole file.
        message: what failed, what was expected, the nearest right name; further lines indented.
        code: the failure a job would end with.
    """

    file: str
    line: int | None
    path: str
    message: str
    code: FailureCode = FailureCode.SPEC_INVALID

    @property
    def place(self) -> dict[str, Any]:
        """What it says and where, for `--json`."""
        return {
            "file": self.file,
            "line": self.line,
            "path": self.path,
            "message": self.message,
        }

    @property
    def what(self) -> str:
        """It without its file and line, which a job's stored spec has not."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}  {self.what}"


class SpecProblems(Exception):  # it is the problems that are raised, all at once
    """A spec that is refused, with every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def code(self) -> FailureCode:
        """The code of the first problem that is not a plain mistake, else SPEC_INVALID."""
        special = (p.code for p in self.problems if p.code is not FailureCode.SPEC_INVALID)
        return next(special, FailureCode.SPEC_INVALID)


class PathRefused(Exception):  # named as its code
    """A path that is not, or does not stay, under the data root."""

    code = FailureCode.PATH_REFUSED
