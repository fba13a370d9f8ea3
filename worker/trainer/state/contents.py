"""What a training state holds: facts as JSON, numbers as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fornada.worker.messages import Best
from fornada.worker.trainer.state.tensors import Arrays, Broken

# Version of the layout of facts and arrays. A state of another version is not used.
FORMAT = 1


class CallbackFacts(BaseModel):
    """The numbers of one callback. Its arrays are among the arrays of the state."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    class_name: str
    values: dict[str, int | float | None]


class Maker(BaseModel):
    """What the numbers of a training depend on, besides the spec and the images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    device: str
    # Versions of keras, numpy and the backend's own library.
    versions: dict[str, str]
    # Whether oneDNN computes on a CPU.
    onednn: bool = False
    # Whether XLA compiles the training steps. A training that resumes on an equal device keeps
    # this, whatever it would choose itself.
    jit: bool = False

    def differs(self, other: "Maker") -> list[str]:
        """What differs from `other`, an earlier maker; each difference in a few words."""
        found = []
        for what in ("backend", "device", "onednn", "jit"):
            now, then = getattr(self, what), getattr(other, what)
            if now != then:
                found.append(f"{what} {then}, now {now}")
        for name in sorted(self.versions.keys() | other.versions.keys()):
            now, then = self.versions.get(name), other.versions.get(name)
            if now != then:
                found.append(f"{name} {then}, now {now}")
        return found


class Origin(BaseModel):
    """The job and attempt that saved a state, and the training to which it belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    attempt: int
    # `Spec.epoch_hash`.
    spec: str
    # Fingerprint of the images.
    data: str
    maker: Maker
    reproducibility: str


class Place(BaseModel):
    """How far a training has come."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    # Number of finished epochs.
    epochs: int = 0
    # Number of finished batches of the next epoch.
    batch: int = 0
    # Loss and metrics of the next epoch, when its batches are done but its validation is not;
    # otherwise None.
    logs: dict[str, float] | None = None
    # Seconds that the next epoch has taken so far.
    seconds: float = 0.0
    # Seconds that the next epoch had taken when its last batch was done; 0 before that.
    trained_s: float = 0.0

    @property
    def order(self) -> tuple[int, int]:
        """Sort key: finished epochs, then finished batches."""
        return self.epochs, self.batch

    @property
    def with_metrics(self) -> bool:
        """Whether the state holds metrics: some batches of the next epoch are done, but not all."""
        return self.batch > 0 and self.logs is None


class StateHeader(BaseModel):
    """The facts of a state, stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: int = FORMAT
    origin: Origin
    place: Place
    # Whether a callback has ended the training.
    stop: bool
    callbacks: list[CallbackFacts]
    best: Best | None
    # Names of the model files that belong to the state, with their sha256.
    files: dict[str, str]
    # Why the numbers so far may differ from those of a run that was never stopped.
    inexact: str | None


@dataclass(frozen=True)
class State:
    """The state of a training between two batches.

    Attributes:
        facts: the state's facts.
        arrays: `model/<i>`, `optimizer/<i>`, `callbacks/<i>/<name>/<j>` and `history/<column>`;
            also `metrics/<i>` if `Place.with_metrics`.
    """

    facts: StateHeader
    arrays: Arrays

    def group(self, name: str) -> list[NDArray[Any]]:
        """The arrays `<name>/0`, `<name>/1`, …"""
        found: list[NDArray[Any]] = []
        while (array := self.arrays.get(f"{name}/{len(found)}")) is not None:
            found.append(array)
        return found

    def columns(self) -> Arrays:
        """The arrays of the history, by column."""
        prefix = "history/"
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


def grouped(name: str, arrays: Sequence[Any]) -> Arrays:
    """Name a sequence of arrays so that `State.group` finds them."""
    return {f"{name}/{i}": array for i, array in enumerate(arrays)}


def parse(facts: str, arrays: Arrays) -> State:
    """Create a state from its facts, as JSON, and its arrays.

    Raises:
        Broken: the facts have another layout.
    """
    try:
        state = State(StateHeader.model_validate_json(facts), arrays)
    except ValueError as error:
        raise Broken(f"its facts have another layout: {error}") from error
    if state.facts.format != FORMAT:
        raise Broken(f"it has layout {state.facts.format}, not {FORMAT}")
    return state
