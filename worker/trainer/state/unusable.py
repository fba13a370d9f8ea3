"""Says why a job cannot continue from the states of another job, state by state."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fornada.db.states import FailureCode
from fornada.worker.trainer.state.tensors import Broken

# A message names at most this many states.
_NAMED = 8


class Misfit(Broken):  # carries its failure code, for a job that can only continue
    """The state is good, but of another training.

    Args:
        why: the reason, in a few words.
        code: failure code of a job that must continue from this state.
    """

    def __init__(self, why: str, code: FailureCode) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class UnusableState:
    """A state that cannot be used.

    Attributes:
        folder: of the state.
        why: the reason, in a few words.
        code: of a job that must continue from it; DATA_MISSING if it is damaged or gone.
    """

    folder: Path
    why: str
    code: FailureCode

    @classmethod
    def of(cls, folder: Path, error: Exception) -> Self:
        """The state in a folder that cannot be used because of this error."""
        code = error.code if isinstance(error, Misfit) else FailureCode.DATA_MISSING
        return cls(folder, str(error), code)


def explained(attempts: Sequence[Path], found: Sequence[UnusableState]) -> tuple[FailureCode, str]:
    """The failure code and the message of a job that cannot continue.

    Args:
        attempts: folders of the attempts of the job to continue.
        found: states that cannot be used, the most advanced first. Those of other jobs are left
            out.
    """
    found = [one for one in dict.fromkeys(found) if one.folder.parents[1] in attempts]
    code = found[0].code if found else FailureCode.DATA_MISSING
    lines = ["no training state of the job that this one continues can be used."]
    lines += [f"  {one.folder}: {one.why}." for one in found[:_NAMED]]
    if not found:
        lines.append(f"  There is none in {', '.join(map(str, attempts))}.")
    todo = "Submit the spec as a job of its own to train it from the start."
    if code is FailureCode.DATA_INVALID:
        todo = f"Restore the images that the job was trained on, and retry this job. Or: {todo}"
    return code, "\n".join([*lines, f"  {todo}"])
