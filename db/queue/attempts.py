"""What an attempt does, from its lease to its last epoch.

Each write goes through `fornada.db.queue.fences` first. How an attempt begins:
`fornada.db.queue.claims`; how it ends: `fornada.db.queue.verdicts`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Float, Integer, and_, bindparam, case, delete, select

from fornada.db.clock import later, now
from fornada.db.errors import Fenced
from fornada.db.queue import summaries
from fornada.db.queue.fences import (
    ATTEMPT,
    HOLDS,
    JOB,
    best_columns,
    named,
    write_attempt,
    write_job,
)
from fornada.db.queue.moves import tell
from fornada.db.records import TRAINING_STATE, EpochRow, Fence, Requests, StartedFacts
from fornada.db.store.session import Database
from fornada.db.store.tables import Artifact, Attempt, Dataset, Epoch, Job
from fornada.db.store.upsert import insert_new, upsert

# Built once, as the statements of `fornada.db.queue.fences` are.
_RENEWED = JOB.values(lease_until=later(now(), bindparam("for_s", type_=Float())))
_REQUESTS = select(Job.cancel_requested_at, Job.cancel_grace_s).where(HOLDS)
_STARTED = ATTEMPT.values(started_at=now())
_LAST = bindparam("last_epoch", type_=Integer())
_RUN = JOB.values(epochs_run=case((Job.epochs_run < _LAST, _LAST), else_=Job.epochs_run))
_STARTED_AT = (
    select(Attempt.started_at)
    .join(Job, and_(Attempt.job_id == Job.id, Attempt.number == Job.attempt))
    .where(HOLDS)
    .with_for_update(of=Job)
)


def renew(database: Database, fence: Fence, lease_s: float) -> Requests:
    """Extend the lease: `lease_s` seconds from now.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    with database.begin() as connection:
        job = write_job(connection, fence, _RENEWED, for_s=lease_s, lease_s=lease_s)
        return _requests(job.cancel_requested_at, job.cancel_grace_s)


def requests(database: Database, fence: Fence) -> Requests:
    """What people have asked of the job; only a read.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    with database.read() as connection:
        job = connection.execute(_REQUESTS, named(fence)).one_or_none()
    if job is None:
        raise Fenced(fence.job_id, fence.attempt)
    return _requests(*job)


def started(database: Database, fence: Fence, facts: StartedFacts) -> None:
    """Record what the trainer found, and make the history what it goes on from.

    Epochs of other attempts from `first_epoch` on are forgotten, those that the training state
    holds are as it says. The same again changes nothing.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    data = {
        "classes": list(facts.classes),
        "train": facts.train,
        "validation": facts.validation,
        "test": facts.test,
    }
    with database.begin() as connection:
        if _known(connection, fence):
            return
        write_job(
            connection,
            fence,
            data=data,
            data_fingerprint=facts.fingerprint,
            parameters=facts.parameters,
            seed=facts.seed,
            epochs_run=facts.first_epoch - 1,
            # Of a job that is trained again; whoever only submits may write no result.
            test=None,
            **best_columns(facts.best),
        )
        attempt = write_attempt(
            connection,
            fence,
            _STARTED,
            trainer_pid=facts.trainer_pid,
            device=facts.device,
            backend=facts.backend,
            versions=dict(facts.versions),
            resumed_epoch=facts.first_epoch if facts.resumed else None,
            resumed_batch=facts.first_batch if facts.resumed else None,
            inexact=facts.inexact,
            reproducibility=facts.reproducibility,
        )
        if fence.attempt > 1 or facts.resumed:
            _replace(connection, fence, facts)
        _dataset(connection, facts, data)
        tell(connection, fence.job_id, "started", attempt.worker, {"attempt": fence.attempt})
        if facts.resumed:
            tell(connection, fence.job_id, "resumed", attempt.worker, _resumed(fence, facts))


def record_epochs(database: Database, fence: Fence, epochs: Sequence[EpochRow]) -> None:
    """Record epochs; the same ones again change nothing.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    if not epochs:
        return
    ordered = sorted(epochs, key=lambda epoch: epoch.number)
    bests = [epoch.best for epoch in ordered if epoch.best]
    with database.begin() as connection:
        best = best_columns(bests[-1]) if bests else {}
        write_job(connection, fence, _RUN, last_epoch=ordered[-1].number, **best)
        upsert(connection, Epoch, _rows(fence, ordered), key=("job_id", "number"))
        summaries.add(connection, fence.job_id, [(e.number, e.metrics) for e in ordered])


def _requests(asked_at: datetime | None, grace_s: float | None) -> Requests:
    return Requests(asked_at is not None, grace_s)


def _known(connection: Connection, fence: Fence) -> bool:
    """Lock the job; whether the attempt has said already that it started."""
    attempt = connection.execute(_STARTED_AT, named(fence)).one_or_none()
    if attempt is None:
        raise Fenced(fence.job_id, fence.attempt)
    return attempt.started_at is not None


def _replace(connection: Connection, fence: Fence, facts: StartedFacts) -> None:
    """Make the history what this attempt goes on from, of whichever attempts it was."""
    connection.execute(
        delete(Epoch).where(
            Epoch.job_id == fence.job_id,
            Epoch.attempt != fence.attempt,
            Epoch.number >= facts.first_epoch,
        )
    )
    upsert(connection, Epoch, _rows(fence, facts.restored), key=("job_id", "number"))
    # Earlier states, of a job that was cancelled at its end, are now this attempt's to remove.
    states = delete(Artifact).where(Artifact.job_id == fence.job_id)
    connection.execute(states.where(Artifact.kind == TRAINING_STATE))
    summaries.rebuild(connection, fence.job_id)


def _rows(fence: Fence, epochs: Iterable[EpochRow]) -> list[dict[str, Any]]:
    return [
        {
            "job_id": fence.job_id,
            "number": epoch.number,
            "attempt": fence.attempt if epoch.attempt is None else epoch.attempt,
            "seconds": epoch.seconds,
            "images_per_s": epoch.images_per_s,
            "learning_rate": epoch.learning_rate,
            "metrics": dict(epoch.metrics),
        }
        for epoch in epochs
    ]


def _resumed(fence: Fence, facts: StartedFacts) -> dict[str, Any]:
    return {
        "attempt": fence.attempt,
        "epoch": facts.first_epoch,
        "batch": facts.first_batch,
        "inexact": facts.inexact,
    }


def _dataset(connection: Connection, facts: StartedFacts, data: Mapping[str, Any]) -> None:
    row = {
        "fingerprint": facts.fingerprint,
        "uri": facts.data_uri,
        "classes": data["classes"],
        "counts": {name: data[name] for name in ("train", "validation", "test")},
    }
    insert_new(connection, Dataset, row, at="first_seen_at")
