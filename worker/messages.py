"""What supervisor and trainer say to each other: one JSON object a line, over two pipes.

Down: `train`, `stop`. Up: `started`, `epoch`, `finished`, `stopped`, `failed`.
"""

import struct
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fornada.db.states import FailureCode, StopReason

# What the database can count.
Count = Annotated[int, Field(ge=0, lt=2**63)]


# What a factory of trainers answers: one number. READY once it can fork; then for each request a
# process id, or minus an `errno`.
FORK_ANSWER = struct.Struct("i")
READY = 0


class _Message(BaseModel):
    # NaN and infinity travel as strings: JSON has no word for them.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class WhyStop(StrEnum):
    """Why a supervisor asks its trainer to stop."""

    CANCEL = "cancel"
    DRAIN = "drain"
    TIME_LIMIT = "time_limit"


class Train(_Message):
    """Bake this job. The spec is the effective document that `Spec.document` gives, or whatever
    the record holds in its place: the trainer checks it.
    """

    kind: Literal["train"] = "train"
    job_id: int
    uid: str
    attempt: int
    spec: Any
    data_root: Path
    # Where this attempt leaves its files; made by the supervisor.
    folder: Path
    # Folders of attempts whose training state it may go on from, to be tried in this order.
    resume_from: list[Path] = []
    # Whether the trainer may wait for another job after this one.
    again: bool = False


class Stop(_Message):
    """End this attempt at its next batch, save its state, report `stopped`.

    It may come when the attempt has just ended, and the trainer has another: it is not for that.
    """

    kind: Literal["stop"] = "stop"
    job_id: int
    attempt: int
    reason: WhyStop


class DataSummary(_Message):
    """What the trainer found in the spec's folders: images counted, classes in order."""

    fingerprint: str
    classes: list[str]
    train: Count
    validation: Count
    test: Count


class FileRecord(_Message):
    """A file the attempt left, as it lies on the worker's disk."""

    # best_model, weights, last_model, history, evaluation, spec, environment, log, tensorboard,
    # training_state
    kind: str
    path: Path
    bytes: Count
    # Hexadecimal; of a folder (tensorboard), none.
    sha256: str | None


class Best(_Message):
    """The best model so far."""

    epoch: Count
    monitor: str
    value: float
    file: FileRecord


class EpochReport(_Message):
    """One epoch, numbered from 1, after its validation, callbacks and saves."""

    kind: Literal["epoch"] = "epoch"
    number: Count
    seconds: float
    images_per_s: float
    learning_rate: float
    metrics: dict[str, float]
    # Present when this epoch improved on the best.
    best: Best | None = None


class RestoredEpoch(EpochReport):
    """An epoch of the state that a training goes on from, and the attempt that trained it.

    Attempt 0 stands for another job, which this one continues.
    """

    attempt: Count


class Started(_Message):
    """Data are read, the model is built, a state is restored; the next epoch begins."""

    kind: Literal["started"] = "started"
    trainer_pid: Count
    device: str
    backend: str
    versions: dict[str, str]
    seed: Count
    parameters: Count
    data: DataSummary
    # Where training begins: 1 and 0, or where a state was saved.
    first_epoch: Count = 1
    first_batch: Count = 0
    # The history and the best model of that state.
    restored: list[RestoredEpoch] = []
    best: Best | None = None
    # Why the numbers may differ from those of a run that was never stopped; None when not.
    inexact: str | None = None
    reproducibility: str = "seeded"


class PerClass(_Message):
    """Of one class in the test set; support in images."""

    precision: float
    recall: float
    f1: float
    support: int


class TestResult(_Message):
    """The best model, loaded from its file, on the test set."""

    __test__ = False

    loss: float
    metrics: dict[str, float]
    classes: list[str]
    # Rows are true classes, columns predicted ones, in the order of `classes`.
    confusion_matrix: list[list[int]]
    per_class: dict[str, PerClass]


class Finished(_Message):
    """Training ended by itself and everything is saved."""

    kind: Literal["finished"] = "finished"
    stop_reason: StopReason
    best: Best
    test: TestResult | None
    files: list[FileRecord]
    # Whether the trainer waits for another job; else it ends.
    again: bool = False


class Stopped(_Message):
    """Training ended because the supervisor asked."""

    kind: Literal["stopped"] = "stopped"
    reason: WhyStop
    best: Best | None
    files: list[FileRecord]
    # As in `Finished`.
    again: bool = False


class Failed(_Message):
    """The job cannot succeed; `epoch` is the one it failed in, 0 before the first."""

    kind: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    traceback: str
    epoch: int = 0
    best: Best | None = None
    files: list[FileRecord] = []


Down = Annotated[Train | Stop, Field(discriminator="kind")]
Up = Annotated[Started | EpochReport | Finished | Stopped | Failed, Field(discriminator="kind")]

_DOWN: TypeAdapter[Train | Stop] = TypeAdapter(Down)
_UP: TypeAdapter[Started | EpochReport | Finished | Stopped | Failed] = TypeAdapter(Up)


def encode(message: Train | Stop | Started | EpochReport | Finished | Stopped | Failed) -> bytes:
    """One line, ending in a newline."""
    return message.model_dump_json().encode() + b"\n"


def decode_down(line: bytes) -> Train | Stop:
    """Read what a supervisor wrote.

    Raises:
        pydantic.ValidationError: the line is no such message.
    """
    return _DOWN.validate_json(line)


def decode_up(line: bytes) -> Started | EpochReport | Finished | Stopped | Failed:
    """Read what a trainer wrote.

    Raises:
        pydantic.ValidationError: the line is no such message.
    """
    return _UP.validate_json(line)
