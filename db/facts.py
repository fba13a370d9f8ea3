"""What callers hand to the record and get from it, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from db.states import AttemptOutcome, FailureCode, StopReason


@dataclass(frozen=True)
class NewJob:
    """A spec that was accepted: what `submit` writes, and what a wake-up carries as JSON."""

    uid: str
    name: str
    queue: str
    priority: int
    # auto, 0 or 1.
    gpus: str
    # The effective document, `Spec.document`.
    spec: dict[str, Any]
    spec_hash: str
    seed: int
    user: str
    tags: dict[str, str]
    time_limit_s: float | None
    retry_attempts: int
    monitor: str
    # min or max.
    monitor_mode: str


@dataclass(frozen=True)
class Fence:
    """What an attempt writes under: valid while it is the job's last and the job runs."""

    job_id: int
    attempt: int


@dataclass(frozen=True)
class Claim:
    """A job that is now this worker's to run, as attempt number `attempt`."""

    job_id: int
    uid: str
    attempt: int
    name: str
    queue: str
    spec: dict[str, Any]
    time_limit_s: float | None
    retry_attempts: int
    cancel_requested: bool

    @property
    def fence(self) -> Fence:
        """What the attempt's writes carry."""
        return Fence(self.job_id, self.attempt)


@dataclass(frozen=True)
class Requests:
    """What people have asked of a running job."""

    cancel: bool


@dataclass(frozen=True)
class StartedFacts:
    """What the trainer knows before its first epoch; images counted, classes in order."""

    trainer_pid: int
    device: str
    backend: str
    versions: Mapping[str, str]
    seed: int
    parameters: int
    fingerprint: str
    classes: Sequence[str]
    train: int
    validation: int
    test: int
    data_uri: str
    # What earlier attempts recorded from here on is run again, and so forgotten.
    first_epoch: int = 1


@dataclass(frozen=True)
class BestModel:
    """The best model so far, and the file that holds it."""

    epoch: int
    monitor: str
    value: float
    uri: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class EpochRow:
    """One epoch, numbered from 1."""

    number: int
    seconds: float
    images_per_s: float
    learning_rate: float
    # Non-finite values may come as floats or as the strings of `db.values`.
    metrics: Mapping[str, float]
    # Present when this epoch improved on the best.
    best: BestModel | None = None


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed."""

    code: FailureCode
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class ArtifactRow:
    """A file that the attempt left; of a folder no sha256."""

    kind: str
    uri: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended, and all that it leaves."""

    outcome: AttemptOutcome
    stop_reason: StopReason | None = None
    failure: Failure | None = None
    best: BestModel | None = None
    # The best model on the test set: {loss, metrics, classes, confusion_matrix, per_class}.
    test: Mapping[str, Any] | None = None
    artifacts: Sequence[ArtifactRow] = field(default_factory=tuple)
    # Of the trainer process; negative: the signal that ended it.
    exit_status: int | None = None
