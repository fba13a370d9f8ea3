"""What has happened to a job: its epochs and its events; and which jobs were like it."""

from typing import Any

from sqlalchemy import Select, select

from fornada.db.errors import JobNotFound
from fornada.db.json_values import plain
from fornada.db.queue.fences import SUCCEEDED
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Epoch, Event, Job
from fornada.db.timestamps import iso


def epochs(database: Database, job_id: int, after: int = 0) -> list[dict[str, Any]]:
    """A job's epochs in order.

    Args:
        after: only those with a greater number.
    Returns:
        Of each: epoch, attempt, seconds, images_per_s, learning_rate, metrics.
    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        if connection.scalar(select(Job.id).where(Job.id == job_id)) is None:
            raise JobNotFound(job_id)
        wanted = select(
            Epoch.number.label("epoch"),
            Epoch.attempt,
            Epoch.seconds,
            Epoch.images_per_s,
            Epoch.learning_rate,
            Epoch.metrics,
        ).where(Epoch.job_id == job_id, Epoch.number > after)
        rows = connection.execute(wanted.order_by(Epoch.number)).mappings().all()
    return [plain(row) for row in rows]


def events(database: Database, job_id: int) -> list[dict[str, Any]]:
    """What happened to a job, oldest first: at, kind, actor, detail.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        if connection.scalar(select(Job.id).where(Job.id == job_id)) is None:
            raise JobNotFound(job_id)
        wanted = select(Event.at, Event.kind, Event.actor, Event.detail)
        ordered = wanted.where(Event.job_id == job_id).order_by(Event.id)
        rows = connection.execute(ordered).mappings().all()
    return [{**row, "at": iso(row["at"])} for row in rows]


def state(database: Database, job_id: int) -> JobState:
    """A job's state, for whoever asks for it again and again.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        found = connection.scalar(select(Job.state).where(Job.id == job_id))
    if found is None:
        raise JobNotFound(job_id)
    return found


def has_key(database: Database, key: str) -> bool:
    """Whether some job has it."""
    with database.read() as connection:
        return connection.scalar(select(Job.id).where(Job.key == key)) is not None


def succeeded_like(
    database: Database, spec_hash: str, fingerprint: str, *, before: int | None = None
) -> int | None:
    """The id of the last job that succeeded with an equal spec on equal data; None without one.

    Args:
        before: only jobs with a smaller id.
    """
    wanted = like(spec_hash, fingerprint)
    with database.read() as connection:
        return connection.scalar(wanted if before is None else wanted.where(Job.id < before))


def like(spec_hash: str, fingerprint: str) -> Select[int]:
    """Ids of the jobs that succeeded with an equal spec on equal data, the last one."""
    equal = [Job.spec_hash == spec_hash, Job.data_fingerprint == fingerprint]
    succeeded = select(Job.id).where(*equal, Job.state == SUCCEEDED)
    return succeeded.order_by(Job.id.desc()).limit(1)
