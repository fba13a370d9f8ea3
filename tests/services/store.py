"""Functions and values that the tests of the database share: jobs, claims, epochs and verdicts."""

import itertools
import uuid
from typing import Any

from sqlalchemy import insert, text, update

from fornada.db.answers import SlotAnswer
from fornada.db.clock import later, now
from fornada.db.queue import attempts, claims, jobs, verdicts, workers
from fornada.db.queue.workers import WorkerFacts
from fornada.db.records import (
    ArtifactRow,
    BestModelRow,
    Claim,
    EpochRow,
    Failure,
    Fence,
    NewJob,
    StartedFacts,
    Verdict,
)
from fornada.db.states import AttemptOutcome, FailureCode, StopReason
from fornada.db.store.session import Database
from fornada.db.store.tables import METADATA, Attempt, Job

_numbers = itertools.count(1)
LEASE_S = 60.0
# Longer than any test.
LONG_S = 600.0
CPU: SlotAnswer = {"name": "cpu:0", "gpu": False, "job": None}
GPU: SlotAnswer = {"name": "gpu:0", "gpu": True, "job": None}


def new_job(**changes: Any) -> NewJob:
    """An ordinary job, with `changes` to its fields."""
    values: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "name": f"digits-{next(_numbers)}",
        "queue": "default",
        "priority": 0,
        "gpus": "auto",
        "spec": {"name": "digits", "fit": {"epochs": 3}, "data": {"train": "Data/Train"}},
        "spec_hash": "5a" * 32,
        "seed": 1,
        "user": "ana",
        "tags": {},
        "time_limit_s": None,
        "retry_attempts": 3,
        "monitor": "val_loss",
        "monitor_mode": "min",
    }
    return NewJob(**(values | changes))


def add(database: Database, **changes: Any) -> int:
    """Submit a job and return its id."""
    return jobs.add(database, new_job(**changes), "ana@laptop")


def add_many(database: Database, count: int) -> list[int]:
    """Submit jobs of mixed priorities in one transaction, and return their ids."""
    rows = [jobs.row_of(new_job(priority=number % 5)) for number in range(count)]
    with database.begin() as connection:
        new = insert(Job).values(submitted_at=now()).returning(Job.c.id)
        return list(connection.scalars(new, rows))


def claim(database: Database, **changes: Any) -> Claim | None:
    """Claim as a CPU slot of worker `w1`."""
    asked: dict[str, Any] = {
        "worker": "w1",
        "slot": "cpu:0",
        "queues": ["default"],
        "has_gpu": False,
        "lease_s": LEASE_S,
    }
    return claims.claim(database, **(asked | changes))


def age_attempt(
    database: Database, fence: Fence, *, claimed_s: float, ended_s: float | None = None
) -> None:
    """Write that an attempt was claimed, and has ended, so many seconds ago."""
    values: dict[str, Any] = {"claimed_at": later(now(), -claimed_s)}
    if ended_s is not None:
        values["ended_at"] = later(now(), -ended_s)
    of_fence = [Attempt.c.job_id == fence.job_id, Attempt.c.number == fence.attempt]
    with database.begin() as connection:
        connection.execute(update(Attempt).where(*of_fence).values(values))


def running(database: Database, **changes: Any) -> Fence:
    """Submit a job and claim it."""
    job_id = add(database, **changes)
    claimed = claim(database)
    assert claimed is not None
    assert claimed.job_id == job_id
    return claimed.fence


def expired(database: Database, **changes: Any) -> Fence:
    """Submit a job, claim it, and let its lease run out. Upkeep has not noticed it yet."""
    fence = running(database, **changes)
    attempts.renew(database, fence, lease_s=-1.0)
    return fence


STARTED = StartedFacts(
    trainer_pid=4321,
    device="cpu",
    backend="tensorflow",
    versions={"keras": "3.15.1"},
    seed=7,
    parameters=54_410,
    fingerprint="f1" * 32,
    classes=["cat", "dog"],
    train=180,
    validation=20,
    test=50,
    data_uri="data:Data/Train",
)


def best(epoch: int, value: float) -> BestModelRow:
    """The best model so far, as of `epoch`."""
    uri = "artifacts:job/attempt-1/best.keras"
    return BestModelRow(epoch, "val_loss", value, uri, 1000 + epoch, f"{epoch:064x}")


def epoch(number: int, best: BestModelRow | None = None, **metrics: Any) -> EpochRow:
    """An epoch with these metrics."""
    values = metrics or {"loss": 1.0 / number}
    return EpochRow(number, 1.5, 120.0, 0.001, values, best)


SUCCEEDED = Verdict(AttemptOutcome.SUCCEEDED, StopReason.COMPLETED, exit_status=0)
FAILED = Verdict(
    AttemptOutcome.FAILED,
    StopReason.DIVERGED,
    Failure(FailureCode.DIVERGED, "loss is NaN in epoch 2", "Traceback …"),
)
PREEMPTED = Verdict(AttemptOutcome.PREEMPTED, exit_status=0)
TEST = {
    "loss": 0.4,
    "metrics": {"sparse_categorical_accuracy": 0.9},
    "classes": ["cat", "dog"],
    "confusion_matrix": [[24, 1], [4, 21]],
    "per_class": {"cat": {"precision": 0.86, "recall": 0.96, "f1": 0.91, "support": 25}},
}
FILES = (
    ArtifactRow("best_model", "artifacts:job/attempt-1/best.keras", 1002, f"{2:064x}"),
    ArtifactRow("tensorboard", "artifacts:job/attempt-1/tensorboard", 4096, None),
)
CRASHED = Verdict(
    AttemptOutcome.CRASHED,
    failure=Failure(FailureCode.CRASHED, "the trainer was ended by SIGSEGV"),
    exit_status=-11,
)


def worker(name: str = "w1", **changes: Any) -> WorkerFacts:
    """A worker with one CPU slot, on a host of its own."""
    values: dict[str, Any] = {
        "name": name,
        "host": f"host-of-{name}",
        "pid": 77,
        "slots": [CPU],
        "queues": ["default"],
        "devices": ["cpu"],
        "versions": {"keras": "3.15.1"},
        "state": "idle",
    }
    return WorkerFacts(**(values | changes))


def workers_up(database: Database, *names: str, **changes: Any) -> None:
    """Register workers that differ only by name and host."""
    for name in names:
        workers.register(database, worker(name, **changes))


def crashed(database: Database, worker: str = "w1", **changes: Any) -> int:
    """Submit a job and let its first attempt crash on a worker's host. Return the job's id.

    The job may be claimed again at once.
    """
    job_id = add(database, **changes)
    claimed = claim(database, worker=worker, host=f"host-of-{worker}")
    assert claimed is not None
    assert claimed.job_id == job_id
    verdicts.finish(database, claimed.fence, CRASHED, pause_s=0.0)
    return job_id


def keep_autovacuum_out(database: Database) -> None:
    """Switch off autovacuum, so that the server does not update statistics during a test."""
    if database.dialect != "postgresql":
        return
    with database.begin() as connection:
        for table in METADATA.tables:
            off = f'ALTER TABLE "{table}" SET (autovacuum_enabled = off)'
            connection.execute(text(off))
