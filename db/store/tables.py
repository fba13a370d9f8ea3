"""The tables. They are the same on SQLite and PostgreSQL. Their indexes are in `indexes.py`.

`fornada.db.clock` defines the type of all times. `fornada.db.json_values` defines the types of
numbers and texts that not every database can store.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fornada.db.clock import UtcDateTime
from fornada.db.json_values import Float, Json, SafeText
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


class Base(DeclarativeBase):
    """The base class of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - as SQLAlchemy declares it
        str: SafeText,
        int: BigInteger,
        float: Float,
        datetime: UtcDateTime,
        dict[str, Any]: Json,
        list[Any]: Json,
    }


class Job(Base):
    """One accepted spec, its state and its results."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    uid: Mapped[str] = mapped_column(_Uid, unique=True)
    # Chosen by the person who submits; no two jobs have the same key.
    key: Mapped[str | None]
    name: Mapped[str]
    state: Mapped[JobState] = mapped_column(_State)
    queue: Mapped[str]
    # Jobs with a higher priority are claimed first.
    priority: Mapped[int] = mapped_column(Integer)
    # "auto", "0" or "1", from the spec.
    gpus: Mapped[str]
    spec: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    seed: Mapped[int]
    user: Mapped[str]
    time_limit_s: Mapped[float | None]
    retry_attempts: Mapped[int] = mapped_column(Integer)
    # The job whose last training state this job starts from.
    continues_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    # {classes, train, validation, test}: class names in order, then numbers of images.
    data: Mapped[dict[str, Any] | None]
    data_fingerprint: Mapped[str | None]
    parameters: Mapped[int | None]

    submitted_at: Mapped[datetime]
    # No worker claims the job earlier. Before the first attempt a person set it; later it is the
    # end of the pause before a retry.
    not_before: Mapped[datetime | None]
    # The person who held the job. Null in a held job that only waits for its dependencies.
    held_by: Mapped[str | None]
    # When the last attempt was claimed; null again while the job is queued for another one.
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # From started_at to finished_at.
    duration_s: Mapped[float | None]

    # Number of the last attempt, 0 before the first claim. It is the fencing token: see
    # `fornada.db.queue.fences`.
    attempt: Mapped[int] = mapped_column(Integer)
    # Attempts that crashed, were lost, or failed because of their host. Counted from 0 again when a
    # person retries the job.
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # Host of the last attempt that `tries` counts.
    avoid_host: Mapped[str | None]
    # New attempts do not continue from the training states of attempts up to this number.
    resume_after: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    worker: Mapped[str | None]
    slot: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    # The length of the lease that the last heartbeat asked for.
    lease_s: Mapped[float | None]
    cancel_requested_at: Mapped[datetime | None]
    cancel_requested_by: Mapped[str | None]
    cancel_reason: Mapped[str | None]
    # Seconds that the trainer may take to stop: 0 kills it at once, null is the worker's default.
    cancel_grace_s: Mapped[float | None]

    epochs_run: Mapped[int] = mapped_column(Integer)
    monitor: Mapped[str]
    # "min" or "max".
    monitor_mode: Mapped[str]
    best_value: Mapped[float | None]
    best_epoch: Mapped[int | None] = mapped_column(Integer)
    best_uri: Mapped[str | None]
    best_bytes: Mapped[int | None]
    best_sha256: Mapped[str | None]
    # Results of the best model on the test set, as the trainer reports them.
    test: Mapped[dict[str, Any] | None]
    stop_reason: Mapped[str | None]
    failure_code: Mapped[str | None]
    failure_message: Mapped[str | None]

    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state_check"),
        # SQLite would otherwise give the id of a deleted job to a new one.
        {"sqlite_autoincrement": True},
    )


class JobTag(Base):
    """A tag that a person put on a job."""

    __tablename__ = "job_tag"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Dependency(Base):
    """Job `job_id` is held until job `needs_id` has succeeded."""

    __tablename__ = "dependency"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    # True: it is enough that job `needs_id` ends, also without success.
    any_end: Mapped[bool] = mapped_column(server_default=false())


class Attempt(Base):
    """One execution of a job by one worker."""

    __tablename__ = "attempt"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    worker: Mapped[str]
    host: Mapped[str]
    slot: Mapped[str]
    claimed_at: Mapped[datetime]
    # When the trainer had read the data and built the model.
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    trainer_pid: Mapped[int | None]
    device: Mapped[str | None]
    backend: Mapped[str | None]
    versions: Mapped[dict[str, Any] | None]
    # For an attempt that continued from a training state: its first epoch, and the batches of that
    # epoch that were trained before. Null for an attempt that began at the start.
    resumed_epoch: Mapped[int | None] = mapped_column(Integer)
    resumed_batch: Mapped[int | None] = mapped_column(Integer)
    # Why its numbers may differ from those of a run that was never interrupted.
    inexact: Mapped[str | None]
    # "seeded" or "deterministic".
    reproducibility: Mapped[str | None]
    outcome: Mapped[str | None]
    # Exit status of the trainer process. A negative value is the signal that ended it.
    exit_status: Mapped[int | None] = mapped_column(Integer)
    failure_code: Mapped[str | None]
    failure_message: Mapped[str | None]
    traceback: Mapped[str | None]


class Epoch(Base):
    """One epoch of a job, numbered from 1."""

    __tablename__ = "epoch"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(Integer)
    # Wall time, with validation, callbacks and saving.
    seconds: Mapped[float]
    images_per_s: Mapped[float]
    learning_rate: Mapped[float | None]
    metrics: Mapped[dict[str, Any]]


class MetricSummary(Base):
    """Last, smallest and largest value of one metric over a job's epochs.

    `min` and `max` ignore NaN; they are null when all values were NaN. A `last` of NaN is null.
    """

    __tablename__ = "metric_summary"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[float | None]
    last_epoch: Mapped[int] = mapped_column(Integer)
    min: Mapped[float | None]
    min_epoch: Mapped[int | None] = mapped_column(Integer)
    max: Mapped[float | None]
    max_epoch: Mapped[int | None] = mapped_column(Integer)


class Artifact(Base):
    """A file or folder that an attempt left."""

    __tablename__ = "artifact"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    uri: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    bytes: Mapped[int]
    # Null for a folder.
    sha256: Mapped[str | None]


class Event(Base):
    """Something that happened to a job. The transaction that changes the job writes it."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    kind: Mapped[str]
    # Who did it: user@host, a worker's name, or "upkeep". "job 41" when the end of job 41 did it.
    actor: Mapped[str]
    detail: Mapped[dict[str, Any] | None]


class LogChunk(Base):
    """A piece of a running job's log, for readers on other hosts."""

    __tablename__ = "log_chunk"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    # Offset of the first byte of `data` in the log, in bytes.
    start: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)

    # Upkeep looks for old chunks at every beat.


class Queue(Base):
    """A queue that a person paused or limited. A queue without a row is open and has no limit."""

    __tablename__ = "queue"

    name: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool]
    max_running: Mapped[int | None] = mapped_column(Integer)
    changed_at: Mapped[datetime | None]
    changed_by: Mapped[str | None]


class Worker(Base):
    """A worker as it described itself at its last beat."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    # [{name, ...}]: see `fornada.db.queue.workers.WorkerFacts`.
    slots: Mapped[list[Any]]
    queues: Mapped[list[Any]]
    devices: Mapped[list[Any]]
    versions: Mapped[dict[str, Any]]
    state: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    # When a person asked the worker to take no more jobs, save and end. Null again after a restart.
    drain_requested_at: Mapped[datetime | None]
    drain_requested_by: Mapped[str | None]


class Dataset(Base):
    """A data set, identified by the fingerprint of its content."""

    __tablename__ = "dataset"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    uri: Mapped[str]
    classes: Mapped[list[Any]]
    # {train, validation, test}: numbers of images in the split of the first job that read it.
    counts: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime]


class UpkeepTurn(Base):
    """Its one row says which worker does the upkeep, and when a worker last asked to do it."""

    __tablename__ = "upkeep"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    holder: Mapped[str]
    held_until: Mapped[datetime]
    # Last beat of any worker. A long gap means that no worker could reach the database.
    beat_at: Mapped[datetime]
    # Time of the first beat after the last long gap.
    resumed_at: Mapped[datetime | None]
    # The last check of held jobs stopped at this id. Null when it reached the end, and before the
    # first check.
    settled_to: Mapped[int | None]
