"""What a training state holds: facts as JSON, numbers as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fornada.worker.messages import Best
from fornada.worker.trainer.state.tensors import Arrays, Broken

# Of the layout of facts and arrays; a state of another one is not used.
FORMAT = 1


class CallbackFacts(BaseModel):
    """One callback's numbers; its arrays stand among the state's."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    class_name: str
    values: dict[str, int | float | None]


class Maker(BaseModel):
    """What the numbers depend on beside the spec and the images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    device: str
    # Of keras, numpy and the backend's own library.
    versions: dict[str, str]
    # Whether oneDNN computes on a CPU, and whether XLA compiles the training steps. Who goes on
    # from a state on an equal device does the second as it was done.
    onednn: bool = False
    jit: bool = False

    def differs(self, other: "Maker") -> list[str]:
        """What is not as it was under `other`, each in a few words."""
        found = []
        for what in ("backend", "device", "onednn", "jit"):
            mine, its = getattr(self, what), getattr(other, what)
            if mine != its:
                found.append(f"{what} {its}, now {mine}")
        for name in sorted(self.versions.keys() | other.versions.keys()):
            mine, its = self.versions.get(name), other.versions.get(name)
            if mine != its:
                found.append(f"{name} {its}, now {mine}")
        return found


class Origin(BaseModel):
    """Whose state it is, and of what training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uid: str
    attempt: int
    # `Spec.epoch_hash`.
    spec: str
    # Fingerprint of the images.
    data: str
    maker: Maker
    reproducibility: str


class Progress(BaseModel):
    """How far a training has come."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    # Epochs that are done, and batches of the next one that are done.
    epochs: int = 0
    batch: int = 0
    # Loss and metrics of that next epoch, where its batches are done and its end is not.
    logs: dict[str, float] | None = None
    # Seconds that its part so far took; of its batches alone.
    seconds: float = 0.0
    trained_s: float = 0.0

    @property
    def order(self) -> tuple[int, int]:
        """Compares places: epochs, then batches."""
        return self.epochs, self.batch

    @property
    def inside(self) -> bool:
        """Whether the batches of an epoch are under way, whose metrics then belong to the state."""
        return self.batch > 0 and self.logs is None


class StateHeader(BaseModel):
    """What a state says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: int = FORMAT
    origin: Origin
    place: Progress
    # Whether a callback has ended the training.
    stop: bool
    callbacks: list[CallbackFacts]
    best: Best | None
    # Model files that belong to it, by name, with their sha256.
    files: dict[str, str]
    # Why the numbers so far may differ from those of a run that was never stopped.
    inexact: str | None


@dataclass(frozen=True)
class State:
    """A training between two batches.

    Attributes:
        facts: see there.
        arrays: `model/<i>`, `optimizer/<i>`, inside an epoch `metrics/<i>`, of callbacks
            `callbacks/<i>/<name>/<j>`, and `history/<column>`.
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
        """The history, column by column."""
        start = "history/"
        return {
            name.removeprefix(start): array
            for name, array in self.arrays.items()
            if name.startswith(start)
        }


def grouped(name: str, arrays: Sequence[Any]) -> Arrays:
    """Names for a row of arrays, as `State.group` reads them."""
    return {f"{name}/{i}": array for i, array in enumerate(arrays)}


def parse(facts: str, arrays: Arrays) -> State:
    """A state from its two parts.

    Raises:
        Broken: they are of another layout.
    """
    try:
        state = State(StateHeader.model_validate_json(facts), arrays)
    except ValueError as error:
        raise Broken(f"its facts are of another layout: {error}") from error
    if state.facts.format != FORMAT:
        raise Broken(f"it has layout {state.facts.format}, not {FORMAT}")
    return state
