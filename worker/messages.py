"""The messages between supervisor and trainer: one JSON object a line, over two pipes.

Down, to the trainer: `train`, `stop`.
Up, to the supervisor: `started`, `epoch`, `finished`, `stopped`, `failed`.
"""

import struct
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fornada.db.states import FailureCode, StopReason

# A number that fits into the database's BIGINT.
Count = Annotated[int, Field(ge=0, lt=2**63)]


# The trainer factory answers with one number: READY as soon as it can fork; then, for each
# request, a process id, or an `errno` with a minus sign.
FORK_ANSWER = struct.Struct("i")
READY = 0


class _Message(BaseModel):
    # NaN and infinity are sent as strings, because JSON cannot express them.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class WhyStop(StrEnum):
    """Why a supervisor asks its trainer to stop."""

    CANCEL = "cancel"
    DRAIN = "drain"
    TIME_LIMIT = "time_limit"


class Train(_Message):
    """Train this job.

    The spec is normally the effective document that `Spec.document` gives, but the database may
    hold anything in its place. So the trainer checks it.
    """

    kind: Literal["train"] = "train"
    job_id: int
    uid: str
    attempt: int
    spec: Any
    data_root: Path
    # Where this attempt writes its files; the supervisor has created it.
    folder: Path
    # Folders of attempts whose training state this attempt may resume; `state.finding` chooses one.
    resume_from: list[Path] = []
    # Whether the trainer may wait for another job after this one.
    again: bool = False
    # Whether an earlier attempt ended because its host had no memory left. Then the job trains only
    # if it fits into the memory that is free now.
    after_host_oom: bool = False


class Stop(_Message):
    """Stop this attempt at its next batch, save its state, report `stopped`.

    The message may arrive when its attempt has just ended and the trainer already runs another
    one. The trainer compares `job_id` and `attempt`, and ignores a message for another attempt.
    """

    kind: Literal["stop"] = "stop"
    job_id: int
    attempt: int
    reason: WhyStop


class DataSummary(_Message):
    """What the trainer found in the spec's folders: number of images, and classes in order."""

    fingerprint: str
    classes: list[str]
    train: Count
    validation: Count
    test: Count


class FileRecord(_Message):
    """A file that the attempt wrote, as it is on the worker's disk."""

    # best_model, weights, last_model, history, evaluation, spec, environment, log, tensorboard,
    # training_state
    kind: str
    path: Path
    bytes: Count
    # Hexadecimal; None for a folder (tensorboard).
    sha256: str | None


class Best(_Message):
    """The best model so far."""

    epoch: Count
    monitor: str
    value: float
    file: FileRecord


class EpochReport(_Message):
    """One epoch, reported after its validation, callbacks and saves. Epochs count from 1."""

    kind: Literal["epoch"] = "epoch"
    number: Count
    seconds: float
    images_per_s: float
    learning_rate: float
    metrics: dict[str, float]
    # Present when this epoch is the best so far.
    best: Best | None = None


class RestoredEpoch(EpochReport):
    """An epoch of the restored training state, and the attempt that trained it.

    Attempt 0 means that another job trained it, which this job continues.
    """

    attempt: Count


class Started(_Message):
    """The data are read, the model is built, the state is restored; the next epoch begins."""

    kind: Literal["started"] = "started"
    trainer_pid: Count
    device: str
    backend: str
    versions: dict[str, str]
    seed: Count
    parameters: Count
    data: DataSummary
    # Where training begins: epoch 1 and batch 0, or where the restored state was saved.
    first_epoch: Count = 1
    first_batch: Count = 0
    # The history and the best model of the restored state.
    restored: list[RestoredEpoch] = []
    best: Best | None = None
    # Why the numbers may differ from those of a run that was never stopped; None when they do not.
    inexact: str | None = None
    # Why it begins at the first epoch although earlier attempts have left training states.
    anew: str | None = None
    reproducibility: str = "seeded"


class PerClass(_Message):
    """Scores of one class on the test set; `support` is its number of images."""

    precision: float
    recall: float
    f1: float
    support: int


class TestResult(_Message):
    """Scores of the best model, loaded from its file, on the test set."""

    __test__ = False

    loss: float
    metrics: dict[str, float]
    classes: list[str]
    # Rows are the true classes, columns the predicted classes, in the order of `classes`.
    confusion_matrix: list[list[int]]
    per_class: dict[str, PerClass]


class Finished(_Message):
    """Training ended by itself and everything is saved."""

    kind: Literal["finished"] = "finished"
    stop_reason: StopReason
    best: Best
    test: TestResult | None
    files: list[FileRecord]
    # Whether the trainer waits for another job; if not, it ends.
    again: bool = False


class Stopped(_Message):
    """Training ended because the supervisor sent `stop`."""

    kind: Literal["stopped"] = "stopped"
    reason: WhyStop
    best: Best | None
    files: list[FileRecord]
    # As in `Finished`.
    again: bool = False


class Failed(_Message):
    """Training failed. `epoch` is the epoch in which it failed, 0 before the first."""

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
    """Read a message that a supervisor wrote.

    Raises:
        pydantic.ValidationError: the line is not such a message.
    """
    return _DOWN.validate_json(line)


def decode_up(line: bytes) -> Started | EpochReport | Finished | Stopped | Failed:
    """Read a message that a trainer wrote.

    Raises:
        pydantic.ValidationError: the line is not such a message.
    """
    return _UP.validate_json(line)
