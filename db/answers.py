"""The documents that reading functions return: plain values, as `--json` prints them.

Each is a TypedDict: a dict at run time, with keys that a type checker knows. Times are texts,
ISO-8601 in UTC. A value that is not known yet is None.
"""

from typing import Any, Literal, NotRequired, TypedDict, final

from fornada.db.reasons import Reason
from fornada.db.states import JobState, WorkerState

# A number that may be NaN or infinite; see `fornada.db.json_values`.
Number = float | Literal["NaN", "Infinity", "-Infinity"]


class FileAnswer(TypedDict):
    """A file that a job left."""

    uri: str
    # For a folder, the total size of its files.
    bytes: int | None
    # None for a folder.
    sha256: str | None
    # Whether the file exists with this size; None if this machine cannot tell, for example because
    # the folder of artifacts is not mounted. The client adds it.
    exists: NotRequired[bool | None]


class BestAnswer(FileAnswer):
    """The best model so far: its epoch, the value of the monitor, and its file."""

    epoch: int
    value: Number
    # Where the file is on this host. Only in the document of one job; the client adds it.
    path: NotRequired[str]


class ArtifactAnswer(FileAnswer):
    """A file or folder that an attempt kept."""

    attempt: int
    kind: str


class MetricAnswer(TypedDict):
    """One metric over a job's epochs; `min` and `max` are None if all its values are NaN."""

    last: Number
    min: Number | None
    max: Number | None


class FailureAnswer(TypedDict):
    """Why a job or an attempt failed."""

    # A `fornada.db.states.FailureCode`.
    code: str
    message: str | None


class TrainerFailureAnswer(FailureAnswer):
    """Why a job failed, with the traceback of its trainer."""

    traceback: str | None


class DataAnswer(TypedDict):
    """The data that a job trained on."""

    fingerprint: str
    # In the order of the model's outputs.
    classes: list[str]
    # Numbers of images.
    train: int
    validation: int
    test: int


class ClassAnswer(TypedDict):
    """How well one class of the test set was recognised."""

    precision: Number
    recall: Number
    f1: Number
    # Test images of the class.
    support: int


class TestAnswer(TypedDict):
    """Results of the best model on the test set."""

    loss: Number
    metrics: dict[str, Number]
    classes: list[str]
    # A row is a true class, a column a predicted class.
    confusion_matrix: list[list[int]]
    per_class: dict[str, ClassAnswer]


class ResumedAnswer(TypedDict):
    """Where an attempt continued training: its first epoch, and the batches already trained."""

    epoch: int
    batch: int | None
    # Why its numbers may differ from those of a run that was never interrupted.
    inexact: str | None


class ExecutionAnswer(TypedDict):
    """One attempt at a job."""

    attempt: int
    worker: str
    host: str
    slot: str
    device: str | None
    backend: str | None
    versions: dict[str, str] | None
    # "seeded" or "deterministic".
    reproducibility: str | None
    resumed: ResumedAnswer | None
    # Why it began at the first epoch although there were training states.
    anew: str | None
    claimed_at: str
    started_at: str | None
    ended_at: str | None
    # A `fornada.db.states.AttemptOutcome`.
    outcome: str | None
    exit_status: int | None
    failure: FailureAnswer | None


class LastWorkerAnswer(TypedDict):
    """The worker of a job's last attempt."""

    name: str
    host: str
    slot: str
    trainer_pid: int | None


class JobHeadAnswer(TypedDict):
    """What every document about a job has."""

    id: int
    uid: str
    name: str
    state: JobState
    queue: str
    priority: int
    user: str
    tags: dict[str, str]
    monitor: str
    best: BestAnswer | None
    submitted_at: str
    started_at: str | None
    # Attempts so far.
    attempts: int
    # Whether the job runs on a worker of the embedded stack that was killed: it continues when the
    # next worker starts. The client adds it.
    lost: NotRequired[bool]


@final
class JobAnswer(JobHeadAnswer):
    """Everything that is recorded about one job: `fornada show JOB --json`."""

    gpus: str
    time_limit_s: float | None
    retry_attempts: int
    spec_hash: str
    key: str | None
    # Id of the job that this job continues.
    continues: int | None
    not_before: str | None
    held_by: str | None
    # Ids of the jobs that this job waits for.
    after: list[int]
    finished_at: str | None
    duration_s: float | None
    cancel_requested_at: str | None
    cancel_requested_by: str | None
    cancel_reason: str | None
    # Attempts that failed since the last `retry`.
    tries: int
    avoid_host: str | None
    epochs_run: int
    # A `fornada.db.states.StopReason`.
    stop_reason: str | None
    # "min" or "max".
    monitor_mode: str
    test: TestAnswer | None
    seed: int
    # Parameters of the model.
    parameters: int | None
    data: DataAnswer | None
    metrics: dict[str, MetricAnswer]
    failure: TrainerFailureAnswer | None
    worker: LastWorkerAnswer | None
    device: str | None
    backend: str | None
    versions: dict[str, str] | None
    executions: list[ExecutionAnswer]
    artifacts: list[ArtifactAnswer]
    # The spec with its defaults.
    spec: dict[str, Any]


@final
class HistoryAnswer(JobHeadAnswer):
    """One job in the history: a row of `fornada ls --json`."""

    finished_at: str | None
    duration_s: float | None
    epochs_run: int
    # Epochs that the spec asks for.
    epochs: int | None
    stop_reason: str | None
    metrics: dict[str, MetricAnswer]
    failure: FailureAnswer | None


class WaitsAnswer(TypedDict):
    """Why a job waits, and in how many seconds it starts; None for what is not known."""

    waits: Reason | None
    starts_in_s: float | None


@final
class LiveAnswer(JobHeadAnswer):
    """One job that waits or runs: a row of `fornada ps --json`."""

    worker: str | None
    slot: str | None
    # Epochs that have ended, and epochs that the spec asks for.
    epoch: int
    epochs: int | None
    elapsed_s: float | None
    # Seconds that a running job still needs.
    eta_s: float | None
    cancel_requested: bool
    waits: Reason | None
    starts_in_s: float | None


class EpochAnswer(TypedDict):
    """One epoch of a job."""

    epoch: int
    # 0: the job that this job continues trained it.
    attempt: int
    seconds: float
    images_per_s: float
    learning_rate: float | None
    metrics: dict[str, Number]


class MetricsAnswer(TypedDict):
    """All epochs of a job: `fornada metrics JOB --json`."""

    id: int
    epochs: list[EpochAnswer]


class EventAnswer(TypedDict):
    """Something that happened to a job."""

    at: str
    kind: str
    # Who did it: user@host, the name of a worker, "upkeep", or "job 41".
    actor: str
    detail: dict[str, Any] | None


class QueueAnswer(TypedDict):
    """One queue: a row of `fornada queue ls --json`."""

    name: str
    paused: bool
    max_running: int | None
    # Numbers of jobs, and of living workers that serve the queue.
    queued: int
    held: int
    running: int
    workers: int
    changed_at: str | None
    changed_by: str | None


class SlotAnswer(TypedDict):
    """One slot of a worker, and the job that it runs."""

    name: str
    gpu: bool
    job: int | None


class WorkerAnswer(TypedDict):
    """One living worker: a row of `fornada worker ls --json`."""

    name: str
    host: str
    pid: int
    state: WorkerState
    slots: list[SlotAnswer]
    queues: list[str]
    devices: list[Any]
    versions: dict[str, str]
    # Ids of its running jobs.
    running: list[int]
    drain_requested_at: str | None
    drain_requested_by: str | None
    # Why it takes no jobs; None while its host can run jobs.
    unfit: str | None
    started_at: str
    seen_at: str
