"""The document of one job: what `fornada show ID --json` prints, without `best.path`."""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, Row, select

from fornada.db.answers import ArtifactAnswer, BestAnswer, FailureAnswer, JobAnswer, MetricAnswer
from fornada.db.errors import JobNotFound
from fornada.db.json_values import plain
from fornada.db.reads import recorded_specs
from fornada.db.store.session import Database
from fornada.db.store.tables import Artifact, Attempt, Dependency, Job, JobTag, MetricSummary
from fornada.db.timestamps import iso


def job(database: Database, job_id: int) -> JobAnswer:
    """Everything that the database knows about a job, as plain values for JSON.

    NaN and infinity are the strings of `fornada.db.json_values`. Times are ISO-8601 in UTC. A value
    that is not known yet is null, also `best`, `test`, `failure`, `worker` and `data`.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        row = _row(connection, job_id)
        attempts = connection.execute(
            select(Attempt).where(Attempt.c.job_id == job_id).order_by(Attempt.c.number)
        ).all()
        after = connection.scalars(
            select(Dependency.c.needs_id)
            .where(Dependency.c.job_id == job_id)
            .order_by(Dependency.c.needs_id)
        ).all()
        document = {
            **_submitted(row),
            "after": list(after),
            "tags": tags_of(connection, [job_id]).get(job_id, {}),
            **_progress(row),
            "metrics": metrics_of(connection, [job_id]).get(job_id, {}),
            **_last_attempt(row, attempts[-1] if attempts else None),
            "executions": [_execution(attempt) for attempt in attempts],
            "artifacts": _artifacts(connection, job_id),
            "spec": recorded_specs.mapping(row.spec),
        }
    return cast(JobAnswer, plain(document))


def tags_of(connection: Connection, job_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """The tags of each job, by name, without the jobs that have no tag."""
    tags: dict[int, dict[str, str]] = {}
    wanted = select(JobTag.c.job_id, JobTag.c.name, JobTag.c.value).where(
        JobTag.c.job_id.in_(job_ids)
    )
    for job_id, name, value in connection.execute(wanted.order_by(JobTag.c.name)):
        tags.setdefault(job_id, {})[name] = value
    return tags


def metrics_of(
    connection: Connection, job_ids: Sequence[int]
) -> dict[int, dict[str, MetricAnswer]]:
    """{last, min, max} of each metric of each job.

    A `last` of NaN is "NaN". When all values are NaN, `min` and `max` are null.
    """
    metrics: dict[int, dict[str, MetricAnswer]] = {}
    wanted = select(MetricSummary).where(MetricSummary.c.job_id.in_(job_ids))
    for row in connection.execute(wanted.order_by(MetricSummary.c.name)):
        last = float("nan") if row.last is None else row.last
        values: MetricAnswer = {
            "last": plain(last),
            "min": plain(row.min),
            "max": plain(row.max),
        }
        metrics.setdefault(row.job_id, {})[row.name] = values
    return metrics


def best_of(row: Row[Any]) -> BestAnswer | None:
    """A job's best model, from the job's row; None when it has no best model yet."""
    if row.best_epoch is None:
        return None
    return {
        "epoch": row.best_epoch,
        "value": plain(float("nan") if row.best_value is None else row.best_value),
        "uri": row.best_uri,
        "sha256": row.best_sha256,
        "bytes": row.best_bytes,
    }


def failure_of(row: Row[Any]) -> FailureAnswer | None:
    """Why a job or an attempt failed, from its row; None when it has not failed."""
    if row.failure_code is None:
        return None
    return {"code": row.failure_code, "message": row.failure_message}


def _row(connection: Connection, job_id: int) -> Row[Any]:
    row = connection.execute(select(Job).where(Job.c.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return row


def _submitted(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "uid": row.uid,
        "name": row.name,
        "state": row.state,
        "queue": row.queue,
        "priority": row.priority,
        "user": row.user,
        "gpus": row.gpus,
        "time_limit_s": row.time_limit_s,
        "retry_attempts": row.retry_attempts,
        "spec_hash": row.spec_hash,
        "key": row.key,
        "continues": row.continues_id,
        "not_before": iso(row.not_before),
        "held_by": row.held_by,
    }


def _progress(row: Row[Any]) -> dict[str, Any]:
    return {
        "submitted_at": iso(row.submitted_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "duration_s": row.duration_s,
        "cancel_requested_at": iso(row.cancel_requested_at),
        "cancel_requested_by": row.cancel_requested_by,
        "cancel_reason": row.cancel_reason,
        "attempts": row.attempt,
        "tries": row.tries,
        "avoid_host": row.avoid_host,
        "epochs_run": row.epochs_run,
        "stop_reason": row.stop_reason,
        "monitor": row.monitor,
        "monitor_mode": row.monitor_mode,
        "best": best_of(row),
        "test": row.test,
        "seed": row.seed,
        "parameters": row.parameters,
        "data": row.data and {"fingerprint": row.data_fingerprint, **row.data},
    }


def _last_attempt(row: Row[Any], attempt: Row[Any] | None) -> dict[str, Any]:
    failure = failure_of(row)
    traceback = attempt.traceback if attempt else None
    worker = attempt and {
        "name": attempt.worker,
        "host": attempt.host,
        "slot": attempt.slot,
        "trainer_pid": attempt.trainer_pid,
    }
    return {
        "failure": failure and {**failure, "traceback": traceback},
        "worker": worker,
        "device": attempt.device if attempt else None,
        "backend": attempt.backend if attempt else None,
        "versions": attempt.versions if attempt else None,
    }


def _execution(attempt: Row[Any]) -> dict[str, Any]:
    resumed = {
        "epoch": attempt.resumed_epoch,
        "batch": attempt.resumed_batch,
        "inexact": attempt.inexact,
    }
    return {
        "attempt": attempt.number,
        "worker": attempt.worker,
        "host": attempt.host,
        "slot": attempt.slot,
        "device": attempt.device,
        "backend": attempt.backend,
        "versions": attempt.versions,
        "reproducibility": attempt.reproducibility,
        "resumed": None if attempt.resumed_epoch is None else resumed,
        "anew": attempt.anew,
        "claimed_at": iso(attempt.claimed_at),
        "started_at": iso(attempt.started_at),
        "ended_at": iso(attempt.ended_at),
        "outcome": attempt.outcome,
        "exit_status": attempt.exit_status,
        "failure": failure_of(attempt),
    }


def _artifacts(connection: Connection, job_id: int) -> list[ArtifactAnswer]:
    columns = Artifact.c
    wanted = select(columns.attempt, columns.kind, columns.uri, columns.bytes, columns.sha256)
    ordered = wanted.where(Artifact.c.job_id == job_id).order_by(columns.attempt, columns.uri)
    rows = connection.execute(ordered).mappings()
    return [cast(ArtifactAnswer, dict(row)) for row in rows]
