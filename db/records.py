"""What callers hand to the record and get from it, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fornada.db.states import AttemptOutcome, FailureCode, StopReason


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
    # A second job with the same one is the first.
    key: str | None = None
    # Until a person releases it.
    held: bool = False
    # Not to be claimed earlier.
    not_before: datetime | None = None
    # Ids of the jobs that must have succeeded first; ended in whatever way, if `after_any`.
    after: tuple[int, ...] = ()
    after_any: bool = False
    # Id of the job whose last state it goes on from.
    continues: int | None = None


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
    # The spec's `resources.gpus` as text: "auto", "0" or "1".
    gpus: str
    spec: dict[str, Any]
    time_limit_s: float | None
    retry_attempts: int
    cancel_requested: bool
    # Where a training state may lie, to be tried in this order: a job's uid and the number of
    # one of its attempts.
    resume_from: tuple[tuple[str, int], ...] = ()

    @property
    def may_use_gpu(self) -> bool:
        """Whether the job may use its slot's GPU, where the slot has one."""
        return self.gpus != "0"

    @property
    def fence(self) -> Fence:
        """What the attempt's writes carry."""
        return Fence(self.job_id, self.attempt)


@dataclass(frozen=True)
class Requests:
    """What people have asked of a running job."""

    cancel: bool
    # How long the trainer may take to stop: 0 to kill it at once, None for the worker's own.
    grace_s: float | None = None


@dataclass(frozen=True)
class BestModelRow:
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
    # Non-finite values may come as floats or as the strings of `fornada.db.json_values`.
    metrics: Mapping[str, float]
    # Present when this epoch improved on the best.
    best: BestModelRow | None = None
    # Which attempt trained it, None for the one that records it; 0: one of the job that this
    # one continues.
    attempt: int | None = None


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
    # Batches of it that were done when its state was saved.
    first_batch: int = 0
    # What the training state holds: all epochs before `first_epoch`.
    restored: Sequence[EpochRow] = ()
    best: BestModelRow | None = None
    # Why this attempt's numbers may differ from those of a run that was never interrupted.
    inexact: str | None = None
    # seeded or deterministic.
    reproducibility: str = "seeded"

    @property
    def resumed(self) -> bool:
        """Whether it goes on from a training state."""
        return self.first_epoch > 1 or self.first_batch > 0


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed."""

    code: FailureCode
    message: str
    traceback: str = ""


# The kind of the file that a job left to go on from.
TRAINING_STATE = "training_state"


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
    best: BestModelRow | None = None
    # The best model on the test set: {loss, metrics, classes, confusion_matrix, per_class}.
    test: Mapping[str, Any] | None = None
    artifacts: Sequence[ArtifactRow] = field(default_factory=tuple)
    # Of the trainer process; negative: the signal that ended it.
    exit_status: int | None = None


@dataclass(frozen=True)
class LogChunkRow:
    """A piece of an attempt's log."""

    # From 1, without gaps.
    number: int
    # Where in the log its first byte lies.
    start: int
    data: bytes


@dataclass(frozen=True)
class LogPlace:
    """Where the log of one attempt lies."""

    attempt: int
    host: str
    # The URI of its folder among the artifacts.
    folder: str
    # Whether the attempt, and so its log, has ended.
    ended: bool
