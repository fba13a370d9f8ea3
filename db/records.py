"""The plain values that callers pass to the database functions and get back from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fornada.db.states import AttemptOutcome, FailureCode, StopReason


@dataclass(frozen=True)
class NewJob:
    """An accepted spec. `submit` writes it to the database, and a wake-up carries it as JSON."""

    uid: str
    name: str
    queue: str
    priority: int
    # "auto", "0" or "1".
    gpus: str
    # The spec with its defaults filled in: `Spec.document`.
    spec: dict[str, Any]
    spec_hash: str
    seed: int
    user: str
    tags: dict[str, str]
    time_limit_s: float | None
    retry_attempts: int
    monitor: str
    # "min" or "max".
    monitor_mode: str
    # Submitting the same key again returns the first job and adds no second one.
    key: str | None = None
    # Whether the job waits until a person releases it.
    held: bool = False
    # No worker claims the job before this time.
    not_before: datetime | None = None
    # Ids of the jobs that this job waits for. Each must succeed; with `after_any`, each must end.
    after: tuple[int, ...] = ()
    after_any: bool = False
    # Id of the job whose last training state this job starts from.
    continues: int | None = None


# What a job's uid may be: a UUID as `uuid.UUID` prints it, or without its dashes. Folders are named
# by it, so it may not hold a path.
UID_PATTERN = "^[0-9a-f-]{32,36}$"


@dataclass(frozen=True)
class Fence:
    """Identifies the attempt that writes.

    The database accepts the write only while this is the job's last attempt and the job runs.
    """

    job_id: int
    attempt: int


@dataclass(frozen=True)
class WorkerProcess:
    """The Celery process of a worker. No two processes of one name have the same host and id."""

    name: str
    host: str
    pid: int


@dataclass(frozen=True)
class Claim:
    """A job that a worker has just claimed and must now run, as attempt number `attempt`."""

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
    # The attempts that may have left a training state, in the order to try: (job uid, attempt).
    resume_from: tuple[tuple[str, int], ...] = ()
    # Seconds of the time limit that earlier attempts have used: all of them, or those since a
    # person last retried the job.
    used_s: float = 0.0
    # Whether one of the job's own attempts ended because its host had no memory left.
    after_host_oom: bool = False

    @property
    def may_use_gpu(self) -> bool:
        """Whether the job may use its slot's GPU, where the slot has one."""
        return self.gpus != "0"

    @property
    def fence(self) -> Fence:
        """The fence to pass to every write of this attempt."""
        return Fence(self.job_id, self.attempt)


@dataclass(frozen=True)
class Requests:
    """What people have asked a running job to do."""

    cancel: bool
    # Seconds that the trainer may take to stop: 0 kills it at once, None is the worker's default.
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
    # NaN and infinity may be floats or the strings of `fornada.db.json_values`.
    metrics: Mapping[str, float]
    # The best model, when this epoch improved it.
    best: BestModelRow | None = None
    # The attempt that trained this epoch. None: the attempt that records it. 0: the job that this
    # job continues trained it.
    attempt: int | None = None


@dataclass(frozen=True)
class StartedFacts:
    """What the trainer knows before its first epoch."""

    trainer_pid: int
    device: str
    backend: str
    versions: Mapping[str, str]
    seed: int
    parameters: int
    fingerprint: str
    # In the order of the model's outputs.
    classes: Sequence[str]
    # Numbers of images.
    train: int
    validation: int
    test: int
    data_uri: str
    # The first epoch that this attempt trains. The database deletes this epoch and all later ones
    # of earlier attempts, because they are trained again.
    first_epoch: int = 1
    # Batches of `first_epoch` that were trained before the training state was saved.
    first_batch: int = 0
    # The epochs in the training state: all epochs before `first_epoch`.
    restored: Sequence[EpochRow] = ()
    best: BestModelRow | None = None
    # Why this attempt's numbers may differ from those of a run that was never interrupted.
    inexact: str | None = None
    # Why it begins at the first epoch although earlier attempts have left training states.
    anew: str | None = None
    # "seeded" or "deterministic".
    reproducibility: str = "seeded"

    @property
    def resumed(self) -> bool:
        """Whether the attempt continues from a training state."""
        return self.first_epoch > 1 or self.first_batch > 0


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed."""

    code: FailureCode
    message: str
    traceback: str = ""


# The `kind` of an artifact that is a training state: a later attempt can continue from it.
TRAINING_STATE = "training_state"


@dataclass(frozen=True)
class ArtifactRow:
    """A file or folder that an attempt left."""

    kind: str
    uri: str
    bytes: int
    # None for a folder.
    sha256: str | None


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended, with its results and artifacts."""

    outcome: AttemptOutcome
    stop_reason: StopReason | None = None
    failure: Failure | None = None
    best: BestModelRow | None = None
    # Results of the best model on the test set:
    # {loss, metrics, classes, confusion_matrix, per_class}.
    test: Mapping[str, Any] | None = None
    artifacts: Sequence[ArtifactRow] = field(default_factory=tuple)
    # Exit status of the trainer process. A negative value is the signal that ended it.
    exit_status: int | None = None
    # Whether a failure counts as one of the job's tries. One that does not is always retried.
    counts: bool = True


@dataclass(frozen=True)
class LogChunkRow:
    """A piece of an attempt's log."""

    # Counts from 1, without gaps.
    number: int
    # Offset of the first byte of `data` in the log, in bytes.
    start: int
    data: bytes


@dataclass(frozen=True)
class LogPlace:
    """Where the log of one attempt is stored."""

    attempt: int
    host: str
    # URI of the attempt's artifact folder.
    folder: str
    # Whether the attempt has ended, so that its log grows no more.
    ended: bool


@dataclass(frozen=True)
class LockHolder:
    """A session or a process that holds a lock which a change of the schema needs.

    Args:
        pid: process id: of a session on the server, or with SQLite of a process of this host. None
            for a transaction that was prepared and then left.
        login: the login of the session, or the account of the process.
        application: what the program calls itself.
        since: when the transaction began. None if this login may not see it, and with SQLite.
        tables: the tables; none with SQLite, which locks the file.
    """

    pid: int | None
    login: str | None
    application: str | None
    since: datetime | None
    tables: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """It in one line.

        >>> LockHolder(7, "ana", "psql", None, ("job", "queue")).sentence
        'pid 7, login ana, application psql: job, queue'
        """
        pid = "a prepared transaction" if self.pid is None else f"pid {self.pid}"
        parts = [pid, f"login {self.login or 'unknown'}"]
        parts.append(f"application {self.application or 'unknown'}")
        if self.since is not None:
            parts.append(f"since {self.since.astimezone():%Y-%m-%d %H:%M:%S}")
        return ", ".join(parts) + (f": {', '.join(self.tables)}" if self.tables else "")
