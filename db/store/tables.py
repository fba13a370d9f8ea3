"""The tables. They are the same on SQLite and PostgreSQL. Their indexes are in `indexes.py`.

`fornada.db.clock` defines the type of all times. `fornada.db.json_values` defines the types of
numbers and texts that not every database can store.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    Table,
    Text,
    TypedColumns,
    false,
    text,
)

from fornada.db.clock import UtcDateTime
from fornada.db.json_values import Float, Json, SafeLines, SafeText
from fornada.db.states import JobState

# Names for constraints and indexes, so that a later revision can change them by name.
_NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
# SQLite gives automatic ids only to an INTEGER column.
_Id = BigInteger().with_variant(Integer, "sqlite")
# With collation C, PostgreSQL compares uids byte by byte, so all uids with one prefix are one range
# of the index in any locale.
_Uid = Text().with_variant(Text(collation="C"), "postgresql")
_State = Enum(
    JobState,
    native_enum=False,
    length=16,
    values_callable=lambda states: [state.value for state in states],
)
_STATES = ", ".join(f"'{state}'" for state in JobState)

METADATA = MetaData(naming_convention=_NAMES)


class JobColumns(TypedColumns):
    """One accepted spec, its state and its results."""

    id: Named[int] = Column(_Id, primary_key=True)
    uid: Named[str] = Column(_Uid, unique=True)
    # Chosen by the person who submits; no two jobs have the same key.
    key: Named[str | None] = Column(SafeText)
    name: Named[str] = Column(SafeText)
    state: Named[JobState] = Column(_State)
    queue: Named[str] = Column(SafeText)
    # Jobs with a higher priority are claimed first.
    priority: Named[int] = Column(Integer)
    # "auto", "0" or "1", from the spec.
    gpus: Named[str] = Column(SafeText)
    spec: Named[dict[str, Any]] = Column(Json)
    spec_hash: Named[str] = Column(SafeText)
    seed: Named[int] = Column(BigInteger)
    user: Named[str] = Column(SafeText)
    time_limit_s: Named[float | None] = Column(Float)
    retry_attempts: Named[int] = Column(Integer)
    # The job whose last training state this job starts from.
    continues_id: Named[int | None] = Column(_Id, ForeignKey("job.id"))
    # {classes, train, validation, test}: class names in order, then numbers of images.
    data: Named[dict[str, Any] | None] = Column(Json)
    data_fingerprint: Named[str | None] = Column(SafeText)
    parameters: Named[int | None] = Column(BigInteger)

    submitted_at: Named[datetime] = Column(UtcDateTime)
    # No worker claims the job earlier. Before the first attempt a person set it; later it is the
    # end of the pause before a retry.
    not_before: Named[datetime | None] = Column(UtcDateTime)
    # The person who held the job. Null in a held job that only waits for its dependencies.
    held_by: Named[str | None] = Column(SafeText)
    # When the last attempt was claimed; null again while the job is queued for another one.
    started_at: Named[datetime | None] = Column(UtcDateTime)
    finished_at: Named[datetime | None] = Column(UtcDateTime)
    # Of all its attempts: see `fornada.db.store.run_time`.
    duration_s: Named[float | None] = Column(Float)

    # Number of the last attempt, 0 before the first claim. It is the fencing token: see
    # `fornada.db.queue.fences`.
    attempt: Named[int] = Column(Integer)
    # Attempts that crashed, were lost, or failed because of their host. Counted from 0 again when a
    # person retries the job.
    tries: Named[int] = Column(Integer, server_default=text("0"))
    # Host of the last attempt that `tries` counts.
    avoid_host: Named[str | None] = Column(SafeText)
    # New attempts do not continue from the training states of attempts up to this number.
    resume_after: Named[int] = Column(Integer, server_default=text("0"))
    worker: Named[str | None] = Column(SafeText)
    slot: Named[str | None] = Column(SafeText)
    lease_until: Named[datetime | None] = Column(UtcDateTime)
    # The length of the lease that the last heartbeat asked for.
    lease_s: Named[float | None] = Column(Float)
    cancel_requested_at: Named[datetime | None] = Column(UtcDateTime)
    cancel_requested_by: Named[str | None] = Column(SafeText)
    cancel_reason: Named[str | None] = Column(SafeText)
    # Seconds that the trainer may take to stop: 0 kills it at once, null is the worker's default.
    cancel_grace_s: Named[float | None] = Column(Float)

    epochs_run: Named[int] = Column(Integer)
    monitor: Named[str] = Column(SafeText)
    # "min" or "max".
    monitor_mode: Named[str] = Column(SafeText)
    best_value: Named[float | None] = Column(Float)
    best_epoch: Named[int | None] = Column(Integer)
    best_uri: Named[str | None] = Column(SafeText)
    best_bytes: Named[int | None] = Column(BigInteger)
    best_sha256: Named[str | None] = Column(SafeText)
    # Results of the best model on the test set, as the trainer reports them.
    test: Named[dict[str, Any] | None] = Column(Json)
    stop_reason: Named[str | None] = Column(SafeText)
    failure_code: Named[str | None] = Column(SafeText)
    failure_message: Named[str | None] = Column(SafeLines)


Job = Table(
    "job",
    METADATA,
    JobColumns,
    CheckConstraint(f"state IN ({_STATES})", name="state_check"),
    # SQLite would otherwise give the id of a deleted job to a new one.
    sqlite_autoincrement=True,
)


class JobTagColumns(TypedColumns):
    """A tag that a person put on a job."""

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Named[str] = Column(SafeText, primary_key=True)
    value: Named[str] = Column(SafeText)


JobTag = Table("job_tag", METADATA, JobTagColumns)


class DependencyColumns(TypedColumns):
    """Job `job_id` is held until job `needs_id` has succeeded."""

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Named[int] = Column(
        _Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    # True: it is enough that job `needs_id` ends, also without success.
    any_end: Named[bool] = Column(Boolean, server_default=false())


Dependency = Table("dependency", METADATA, DependencyColumns)


class AttemptColumns(TypedColumns):
    """One execution of a job by one worker."""

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    worker: Named[str] = Column(SafeText)
    host: Named[str] = Column(SafeText)
    slot: Named[str] = Column(SafeText)
    claimed_at: Named[datetime] = Column(UtcDateTime)
    # When the trainer had read the data and built the model.
    started_at: Named[datetime | None] = Column(UtcDateTime)
    ended_at: Named[datetime | None] = Column(UtcDateTime)
    trainer_pid: Named[int | None] = Column(BigInteger)
    device: Named[str | None] = Column(SafeText)
    backend: Named[str | None] = Column(SafeText)
    versions: Named[dict[str, Any] | None] = Column(Json)
    # For an attempt that continued from a training state: its first epoch, and the batches of that
    # epoch that were trained before. Null for an attempt that began at the start.
    resumed_epoch: Named[int | None] = Column(Integer)
    resumed_batch: Named[int | None] = Column(Integer)
    # Why its numbers may differ from those of a run that was never interrupted.
    inexact: Named[str | None] = Column(SafeText)
    # Why it began at the first epoch although earlier attempts had left training states.
    anew: Named[str | None] = Column(SafeText)
    # "seeded" or "deterministic".
    reproducibility: Named[str | None] = Column(SafeText)
    outcome: Named[str | None] = Column(SafeText)
    # Exit status of the trainer process. A negative value is the signal that ended it.
    exit_status: Named[int | None] = Column(Integer)
    failure_code: Named[str | None] = Column(SafeText)
    failure_message: Named[str | None] = Column(SafeLines)
    traceback: Named[str | None] = Column(SafeLines)


Attempt = Table("attempt", METADATA, AttemptColumns)


class EpochColumns(TypedColumns):
    """One epoch of a job, numbered from 1."""

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    attempt: Named[int] = Column(Integer)
    # Wall time, with validation, callbacks and saving.
    seconds: Named[float] = Column(Float)
    images_per_s: Named[float] = Column(Float)
    learning_rate: Named[float | None] = Column(Float)
    metrics: Named[dict[str, Any]] = Column(Json)


Epoch = Table("epoch", METADATA, EpochColumns)


class MetricSummaryColumns(TypedColumns):
    """Last, smallest and largest value of one metric over a job's epochs.

    `min` and `max` ignore NaN; they are null when all values were NaN. A `last` of NaN is null.
    """

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Named[str] = Column(SafeText, primary_key=True)
    last: Named[float | None] = Column(Float)
    last_epoch: Named[int] = Column(Integer)
    min: Named[float | None] = Column(Float)
    min_epoch: Named[int | None] = Column(Integer)
    max: Named[float | None] = Column(Float)
    max_epoch: Named[int | None] = Column(Integer)


MetricSummary = Table("metric_summary", METADATA, MetricSummaryColumns)


class ArtifactColumns(TypedColumns):
    """A file or folder that an attempt left."""

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    uri: Named[str] = Column(SafeText, primary_key=True)
    kind: Named[str] = Column(SafeText)
    bytes: Named[int] = Column(BigInteger)
    # Null for a folder.
    sha256: Named[str | None] = Column(SafeText)


Artifact = Table("artifact", METADATA, ArtifactColumns)


class EventColumns(TypedColumns):
    """Something that happened to a job. The transaction that changes the job writes it."""

    id: Named[int] = Column(_Id, primary_key=True)
    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"))
    at: Named[datetime] = Column(UtcDateTime)
    kind: Named[str] = Column(SafeText)
    # Who did it: user@host, a worker's name, or "upkeep". "job 41" when the end of job 41 did it.
    actor: Named[str] = Column(SafeText)
    detail: Named[dict[str, Any] | None] = Column(Json)


Event = Table("event", METADATA, EventColumns)


class LogChunkColumns(TypedColumns):
    """A piece of a running job's log, for readers on other hosts."""

    job_id: Named[int] = Column(_Id, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    number: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    at: Named[datetime] = Column(UtcDateTime)
    # Offset of the first byte of `data` in the log, in bytes.
    start: Named[int] = Column(BigInteger)
    data: Named[bytes] = Column(LargeBinary)


LogChunk = Table("log_chunk", METADATA, LogChunkColumns)


class QueueColumns(TypedColumns):
    """A queue that a person paused or limited. A queue without a row is open and has no limit."""

    name: Named[str] = Column(SafeText, primary_key=True)
    paused: Named[bool] = Column(Boolean)
    max_running: Named[int | None] = Column(Integer)
    changed_at: Named[datetime | None] = Column(UtcDateTime)
    changed_by: Named[str | None] = Column(SafeText)


Queue = Table("queue", METADATA, QueueColumns)


class WorkerColumns(TypedColumns):
    """A worker as it described itself at its last beat."""

    name: Named[str] = Column(SafeText, primary_key=True)
    host: Named[str] = Column(SafeText)
    pid: Named[int] = Column(BigInteger)
    # [{name, ...}]: see `fornada.db.queue.workers.WorkerFacts`.
    slots: Named[list[Any]] = Column(Json)
    queues: Named[list[Any]] = Column(Json)
    devices: Named[list[Any]] = Column(Json)
    versions: Named[dict[str, Any]] = Column(Json)
    state: Named[str] = Column(SafeText)
    started_at: Named[datetime] = Column(UtcDateTime)
    seen_at: Named[datetime] = Column(UtcDateTime)
    # When a person asked the worker to take no more jobs, save and end. Null again after a restart.
    drain_requested_at: Named[datetime | None] = Column(UtcDateTime)
    drain_requested_by: Named[str | None] = Column(SafeText)
    # Why the worker takes no jobs, as a sentence; null while its host can run jobs.
    unfit: Named[str | None] = Column(SafeText)


Worker = Table("worker", METADATA, WorkerColumns)


class DatasetColumns(TypedColumns):
    """A data set, identified by the fingerprint of its content."""

    fingerprint: Named[str] = Column(SafeText, primary_key=True)
    uri: Named[str] = Column(SafeText)
    classes: Named[list[Any]] = Column(Json)
    # {train, validation, test}: numbers of images in the split of the first job that read it.
    counts: Named[dict[str, Any]] = Column(Json)
    first_seen_at: Named[datetime] = Column(UtcDateTime)


Dataset = Table("dataset", METADATA, DatasetColumns)


class UpkeepTurnColumns(TypedColumns):
    """Its one row says which worker does the upkeep, and when a worker last asked to do it."""

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    holder: Named[str] = Column(SafeText)
    held_until: Named[datetime] = Column(UtcDateTime)
    # Last beat of any worker. A long gap means that no worker could reach the database.
    beat_at: Named[datetime] = Column(UtcDateTime)
    # Time of the first beat after the last long gap.
    resumed_at: Named[datetime | None] = Column(UtcDateTime)
    # The last check of held jobs stopped at this id. Null when it reached the end, and before the
    # first check.
    settled_to: Named[int | None] = Column(BigInteger)


UpkeepTurn = Table("upkeep", METADATA, UpkeepTurnColumns)


class FleetColumns(TypedColumns):
    """Its one row names this database, and says which versions of Fornada it serves."""

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    # A random UUID. Workers and clients put it into the names of their lists in Redis, so that two
    # databases may share one Redis.
    uid: Named[str] = Column(_Uid)
    # The oldest revision whose code still works with the schema.
    works_since: Named[str] = Column(Text)


Fleet = Table("fleet", METADATA, FleetColumns)
