"""What a running attempt reads and writes: its lease, requests to stop, its start and its epochs.

Every write first checks the fence: see `fornada.db.queue.fences`. An attempt begins in
`fornada.db.queue.claims` and ends in `fornada.db.queue.verdicts`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Float, Integer, and_, bindparam, case, delete, select

from fornada.db.clock import later, now
from fornada.db.errors import Fenced
from fornada.db.queue import summaries
from fornada.db.queue.fences import (
    FENCE_HOLDS,
    UPDATE_ATTEMPT,
    UPDATE_JOB,
    best_columns,
    fence_values,
    write_attempt,
    write_job,
)
from fornada.db.queue.moves import record_event
from fornada.db.records import TRAINING_STATE, EpochRow, Fence, Requests, StartedFacts
from fornada.db.store.session import Database
from fornada.db.store.tables import Artifact, Attempt, Dataset, Epoch, Job
from fornada.db.store.upsert import insert_new, upsert

# Built only once: see `fornada.db.queue.fences`.
_RENEW_LEASE = UPDATE_JOB.values(lease_until=later(now(), bindparam("for_s", type_=Float())))
_REQUESTS = select(Job.c.cancel_requested_at, Job.c.cancel_grace_s).where(FENCE_HOLDS)
_SET_STARTED = UPDATE_ATTEMPT.values(started_at=now())
_LAST_EPOCH = bindparam("last_epoch", type_=Integer())
_SET_EPOCHS_RUN = UPDATE_JOB.values(
    epochs_run=case((Job.c.epochs_run < _LAST_EPOCH, _LAST_EPOCH), else_=Job.c.epochs_run)
)
_LOCK_STARTED_AT = (
    select(Attempt.c.started_at)
    .join(Job, and_(Attempt.c.job_id == Job.c.id, Attempt.c.number == Job.c.attempt))
    .where(FENCE_HOLDS)
    .with_for_update(of=Job, key_share=True)
)


def renew(database: Database, fence: Fence, lease_s: float) -> Requests:
    """Extend the lease until `lease_s` seconds from now.

    Returns:
        What people have asked the job to do.
    Raises:
        Fenced: the attempt no longer holds the job.
    """
    with database.begin() as connection:
        job = write_job(connection, fence, _RENEW_LEASE, for_s=lease_s, lease_s=lease_s)
        return _requests(job.cancel_requested_at, job.cancel_grace_s)


def requests(database: Database, fence: Fence) -> Requests:
    """What people have asked the job to do. This call only reads.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    with database.read() as connection:
        job = connection.execute(_REQUESTS, fence_values(fence)).one_or_none()
    if job is None:
        raise Fenced(fence.job_id, fence.attempt)
    return _requests(*job)


def started(database: Database, fence: Fence, facts: StartedFacts) -> None:
    """Record what the trainer knows before its first epoch.

    The recorded epochs become those that the attempt continues from: epochs of other attempts from
    `first_epoch` on are deleted, and the epochs of the training state are written. A second call
    for the same attempt changes nothing.

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
        if _has_started(connection, fence):
            return
        write_job(
            connection,
            fence,
            data=data,
            data_fingerprint=facts.fingerprint,
            parameters=facts.parameters,
            seed=facts.seed,
            epochs_run=facts.first_epoch - 1,
            # Delete the test result of a job that was retried. The retry cannot do it, because a
            # person who may only submit has no right to write results.
            test=None,
            **best_columns(facts.best),
        )
        attempt = write_attempt(
            connection,
            fence,
            _SET_STARTED,
            trainer_pid=facts.trainer_pid,
            device=facts.device,
            backend=facts.backend,
            versions=dict(facts.versions),
            resumed_epoch=facts.first_epoch if facts.resumed else None,
            resumed_batch=facts.first_batch if facts.resumed else None,
            inexact=facts.inexact,
            anew=facts.anew,
            reproducibility=facts.reproducibility,
        )
        if fence.attempt > 1 or facts.resumed:
            _replace_history(connection, fence, facts)
        _record_dataset(connection, facts, data)
        detail = {"attempt": fence.attempt} | ({"anew": facts.anew} if facts.anew else {})
        record_event(connection, fence.job_id, "started", attempt.worker, detail)
        if facts.resumed:
            detail = _resumed_detail(fence, facts)
            record_event(connection, fence.job_id, "resumed", attempt.worker, detail)


def record_epochs(database: Database, fence: Fence, epochs: Sequence[EpochRow]) -> None:
    """Record epochs. Recording the same epochs again changes nothing.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    if not epochs:
        return
    ordered = sorted(epochs, key=lambda epoch: epoch.number)
    bests = [epoch.best for epoch in ordered if epoch.best]
    with database.begin() as connection:
        best = best_columns(bests[-1]) if bests else {}
        write_job(connection, fence, _SET_EPOCHS_RUN, last_epoch=ordered[-1].number, **best)
        upsert(connection, Epoch, _epoch_rows(fence, ordered), key=("job_id", "number"))
        summaries.add(connection, fence.job_id, [(e.number, e.metrics) for e in ordered])


def _requests(asked_at: datetime | None, grace_s: float | None) -> Requests:
    return Requests(asked_at is not None, grace_s)


def _has_started(connection: Connection, fence: Fence) -> bool:
    """Lock the job, and return whether the attempt's start is recorded already."""
    attempt = connection.execute(_LOCK_STARTED_AT, fence_values(fence)).one_or_none()
    if attempt is None:
        raise Fenced(fence.job_id, fence.attempt)
    return attempt.started_at is not None


def _replace_history(connection: Connection, fence: Fence, facts: StartedFacts) -> None:
    """Replace the recorded epochs by those that this attempt continues from."""
    connection.execute(
        delete(Epoch).where(
            Epoch.c.job_id == fence.job_id,
            Epoch.c.attempt != fence.attempt,
            Epoch.c.number >= facts.first_epoch,
        )
    )
    upsert(connection, Epoch, _epoch_rows(fence, facts.restored), key=("job_id", "number"))
    # This attempt will delete the files of earlier training states. Such a file is an artifact when
    # the job was cancelled after its last epoch.
    states = delete(Artifact).where(Artifact.c.job_id == fence.job_id)
    connection.execute(states.where(Artifact.c.kind == TRAINING_STATE))
    summaries.rebuild(connection, fence.job_id)


def _epoch_rows(fence: Fence, epochs: Iterable[EpochRow]) -> list[dict[str, Any]]:
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


def _resumed_detail(fence: Fence, facts: StartedFacts) -> dict[str, Any]:
    return {
        "attempt": fence.attempt,
        "epoch": facts.first_epoch,
        "batch": facts.first_batch,
        "inexact": facts.inexact,
    }


def _record_dataset(connection: Connection, facts: StartedFacts, data: Mapping[str, Any]) -> None:
    row = {
        "fingerprint": facts.fingerprint,
        "uri": facts.data_uri,
        "classes": data["classes"],
        "counts": {name: data[name] for name in ("train", "validation", "test")},
    }
    insert_new(connection, Dataset, row, at="first_seen_at")
