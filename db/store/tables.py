"""The tables, the same on SQLite and PostgreSQL.

Of all times see `fornada.db.clock`; of numbers and texts that not every database can hold,
`fornada.db.json_values`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    false,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from fornada.db.clock import UtcDateTime
from fornada.db.json_values import Float, Json, SafeText
from fornada.db.states import JobState

# Names for what has none, so that a later revision can name what it changes.
_NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
# SQLite counts only in INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
# Compared byte by byte, so that a prefix is a range of the index under any locale.
_Uid = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_State = Enum(
    JobState,
    native_enum=False,
    length=16,
    values_callable=lambda states: [state.value for state in states],
)
_STATES = ", ".join(f"'{state}'" for state in JobState)
# Spelled as in `fornada.db.queue.fences.queued`, whatever that costs to read: see there.
_IS_QUEUED = "coalesce(state, '') = 'queued'"


class Base(DeclarativeBase):
    """All tables."""

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
    """One accepted spec, and where it stands."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    uid: Mapped[str] = mapped_column(_Uid, unique=True)
    # A word of whoever submitted it: a second job with the same one is not accepted.
    key: Mapped[str | None]
    name: Mapped[str]
    state: Mapped[JobState] = mapped_column(_State)
    queue: Mapped[str]
    # Higher is claimed first.
    priority: Mapped[int] = mapped_column(Integer)
    # auto, 0 or 1, as the spec says it.
    gpus: Mapped[str]
    spec: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    seed: Mapped[int]
    user: Mapped[str]
    time_limit_s: Mapped[float | None]
    retry_attempts: Mapped[int] = mapped_column(Integer)
    # Goes on from the last state of that job.
    continues_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    # {classes, train, validation, test}: class names in order, images counted.
    data: Mapped[dict[str, Any] | None]
    data_fingerprint: Mapped[str | None]
    parameters: Mapped[int | None]

    submitted_at: Mapped[datetime]
    # Before the first attempt: what a person asked for. After: the pause before a retry.
    not_before: Mapped[datetime | None]
    # The person who held it; a held job without one waits for dependencies.
    held_by: Mapped[str | None]
    # Of the last attempt: a job that is queued again has not started.
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # From started_at to finished_at.
    duration_s: Mapped[float | None]

    # 0 before the first claim; the fencing token.
    attempt: Mapped[int] = mapped_column(Integer)
    # Attempts that crashed, were lost or failed for what is the host's fault, since it was
    # submitted or a person last retried it.
    tries: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    # Where the last of them was.
    avoid_host: Mapped[str | None]
    # States of attempts up to this number are not gone on from.
    resume_after: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    worker: Mapped[str | None]
    slot: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    # As long as the last heartbeat asked for.
    lease_s: Mapped[float | None]
    cancel_requested_at: Mapped[datetime | None]
    cancel_requested_by: Mapped[str | None]
    cancel_reason: Mapped[str | None]
    # How long the trainer may take to stop: 0 to kill it at once, null for the worker's own.
    cancel_grace_s: Mapped[float | None]

    epochs_run: Mapped[int] = mapped_column(Integer)
    monitor: Mapped[str]
    # min or max.
    monitor_mode: Mapped[str]
    best_value: Mapped[float | None]
    best_epoch: Mapped[int | None] = mapped_column(Integer)
    best_uri: Mapped[str | None]
    best_bytes: Mapped[int | None]
    best_sha256: Mapped[str | None]
    # The best model on the test set, as the trainer reports it.
    test: Mapped[dict[str, Any] | None]
    stop_reason: Mapped[str | None]
    failure_code: Mapped[str | None]
    failure_message: Mapped[str | None]

    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state_check"),
        # The claim reads of each queue and each wish for GPUs the best alone, whatever else waits.
        Index(
            "job_kind",
            "queue",
            "gpus",
            priority.desc(),
            "id",
            postgresql_where=text(f"{_IS_QUEUED} AND not_before IS NULL"),
            sqlite_where=text(f"{_IS_QUEUED} AND not_before IS NULL"),
        ),
        # And whose time has come.
        Index(
            "job_time",
            "queue",
            "not_before",
            postgresql_where=text(f"{_IS_QUEUED} AND not_before IS NOT NULL"),
            sqlite_where=text(f"{_IS_QUEUED} AND not_before IS NOT NULL"),
        ),
        # All that is queued in the order of its claim, for readers. The state is one and the same
        # in all of it; without it SQLite prefers job_state, and sorts.
        Index(
            "job_claim",
            "state",
            priority.desc(),
            "id",
            postgresql_where=text("state = 'queued'"),
            sqlite_where=text("state = 'queued'"),
        ),
        # Pages by key: each filter and sort order ends in the id. By state also what runs is
        # found; no index holds lease_until, so that a heartbeat rewrites none.
        Index("job_state", "state", "id"),
        Index("job_name", "name", "id"),
        Index("job_duration", "duration_s", "id"),
        Index("job_submitted", "submitted_at"),
        Index("job_key", "key", unique=True),
        # Equal specs that have succeeded; the state is there for SQLite, as in the claim's.
        Index(
            "job_spec_hash",
            "spec_hash",
            "state",
            "id",
            postgresql_where=text("state = 'succeeded'"),
            sqlite_where=text("state = 'succeeded'"),
        ),
        # An id is never given twice, not even after a deletion.
        {"sqlite_autoincrement": True},
    )


class JobTag(Base):
    """A word that a person put on a job."""

    __tablename__ = "job_tag"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]

    __table_args__ = (Index("job_tag_value", "name", "value", "job_id"),)


class Dependency(Base):
    """A job that waits, held, until another has succeeded."""

    __tablename__ = "dependency"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    # Whether any end of the other will do.
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
    # When data were read and the model was built.
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    trainer_pid: Mapped[int | None]
    device: Mapped[str | None]
    backend: Mapped[str | None]
    versions: Mapped[dict[str, Any] | None]
    # Where it went on from an earlier attempt's state: the epoch it began with, and the batches
    # of it that were done; null when it began anew.
    resumed_epoch: Mapped[int | None] = mapped_column(Integer)
    resumed_batch: Mapped[int | None] = mapped_column(Integer)
    # Why its numbers may differ from those of a run that was never interrupted.
    inexact: Mapped[str | None]
    # seeded or deterministic.
    reproducibility: Mapped[str | None]
    outcome: Mapped[str | None]
    # Of the trainer process; negative: the signal that ended it.
    exit_status: Mapped[int | None] = mapped_column(Integer)
    failure_code: Mapped[str | None]
    failure_message: Mapped[str | None]
    traceback: Mapped[str | None]


class Epoch(Base):
    """One epoch, numbered from 1: one row, one upsert."""

    __tablename__ = "epoch"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    attempt: Mapped[int] = mapped_column(Integer)
    # Wall time, validation, callbacks and saves included.
    seconds: Mapped[float]
    images_per_s: Mapped[float]
    learning_rate: Mapped[float | None]
    metrics: Mapped[dict[str, Any]]


class MetricSummary(Base):
    """Last, smallest and largest value of one metric over a job's epochs.

    NaN is smaller than nothing and larger than nothing: it is never `min` or `max`, which are
    null when there was no number; a null `last` is NaN.
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

    __table_args__ = (
        Index("metric_summary_min", "name", "min", "job_id"),
        Index("metric_summary_max", "name", "max", "job_id"),
    )


class Artifact(Base):
    """A file, or a folder, that an attempt left."""

    __tablename__ = "artifact"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    uri: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    bytes: Mapped[int]
    # None of a folder.
    sha256: Mapped[str | None]


class Event(Base):
    """What happened to a job, written with what it tells of."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    kind: Mapped[str]
    # Who did it: user@host, a worker's name, upkeep; "job 41" where that one's end did.
    actor: Mapped[str]
    detail: Mapped[dict[str, Any] | None]

    __table_args__ = (Index("event_job", "job_id", "id"),)


class LogChunk(Base):
    """A piece of a running job's log, for readers on other hosts."""

    __tablename__ = "log_chunk"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    # Where in the log its first byte lies.
    start: Mapped[int]
    data: Mapped[bytes] = mapped_column(LargeBinary)

    # Old ones are looked for at every beat of upkeep.
    __table_args__ = (Index("log_chunk_at", "at"),)


class Queue(Base):
    """What a person decided about a queue; a queue without a row is open."""

    __tablename__ = "queue"

    name: Mapped[str] = mapped_column(primary_key=True)
    paused: Mapped[bool]
    max_running: Mapped[int | None] = mapped_column(Integer)
    changed_at: Mapped[datetime | None]
    changed_by: Mapped[str | None]


class Worker(Base):
    """A worker as it last said it was."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    # [{name, gpu, ...}]: see fornada.db.queue.workers.
    slots: Mapped[list[Any]]
    queues: Mapped[list[Any]]
    devices: Mapped[list[Any]]
    versions: Mapped[dict[str, Any]]
    state: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    # A person asked it to stop taking jobs, save and end; forgotten when it comes up again.
    drain_requested_at: Mapped[datetime | None]
    drain_requested_by: Mapped[str | None]


class Dataset(Base):
    """A data set by its content."""

    __tablename__ = "dataset"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    uri: Mapped[str]
    classes: Mapped[list[Any]]
    # {train, validation, test}: images, as the first job that read it split them.
    counts: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime]


class UpkeepTurn(Base):
    """One row: who does the upkeep, and when any worker last asked to."""

    __tablename__ = "upkeep"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    holder: Mapped[str]
    held_until: Mapped[datetime]
    # Of any worker, holder or not: a gap means that the database was away from all of them.
    beat_at: Mapped[datetime]
    # When beats came again after a gap.
    resumed_at: Mapped[datetime | None]
    # Held jobs up to this id were looked at last; null: all, or none yet.
    settled_to: Mapped[int | None]
