"""Problems of a spec, and the exceptions that carry them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fornada.db.states import FailureCode


@dataclass(frozen=True)
class Problem:
    """One problem of one spec.

    Attributes:
        file: the spec's file as the person named it, or the `--set` that gave the value.
        line: counted from 1; None for a document or an override, which have no lines.
        path: dotted path in the spec, such as `model.3.Dense.units`; empty for the whole file.
        message: what is wrong, what is expected, the nearest right name. All lines but the first
            are indented.
        code: the failure code of a job with this spec.
    """

    file: str
    line: int | None
    path: str
    message: str
    code: FailureCode = FailureCode.SPEC_INVALID

    @property
    def place(self) -> dict[str, Any]:
        """The problem as JSON, for `--json`."""
        return {
            "file": self.file,
            "line": self.line,
            "path": self.path,
            "message": self.message,
        }

    @property
    def what(self) -> str:
        """The problem without file and line: the stored spec of a job has neither."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}  {self.what}"


# Characters of the longest line that each problem repeats.
_REPEATED = 100


def told(problems: Iterable[Problem]) -> str:
    """All problems for a person. A long list that several problems expect is written only once."""
    # The problem at which each long line was written.
    written: dict[str, Problem] = {}
    lines = []
    for problem in problems:
        for line in str(problem).split("\n"):
            first = written.setdefault(line, problem) if len(line) > _REPEATED else problem
            lines.append(line if first is problem else _as_above(line, first, problem))
    return "\n".join(lines)


def _as_above(line: str, first: Problem, problem: Problem) -> str:
    """`  Expected one of: as for model.0.`"""
    head, colon, _ = line.partition(": ")
    where = first.path if first.file == problem.file else f"{first.file}:{first.line} {first.path}"
    return f"{head}{colon}as for {where}." if colon else line


class SpecProblems(Exception):  # named after what it carries: all problems at once
    """A spec is refused. Carries every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        super().__init__(told(self.problems))

    @property
    def code(self) -> FailureCode:
        """The first code that is not SPEC_INVALID, if any problem has one; else SPEC_INVALID."""
        special = (p.code for p in self.problems if p.code is not FailureCode.SPEC_INVALID)
        return next(special, FailureCode.SPEC_INVALID)


class PathRefused(Exception):  # named after its failure code
    """A path lies outside the data root, or a link in it leads out of the data root."""

    code = FailureCode.PATH_REFUSED
