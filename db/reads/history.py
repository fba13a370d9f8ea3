"""The epochs, events and state of a job, and jobs that are equal to it."""

from typing import cast

from sqlalchemy import Select, select

from fornada.db.answers import EpochAnswer, EventAnswer
from fornada.db.errors import JobNotFound
from fornada.db.json_values import plain
from fornada.db.queue.fences import SUCCEEDED
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Epoch, Event, Job
from fornada.db.timestamps import iso


def epochs(database: Database, job_id: int, after: int = 0) -> list[EpochAnswer]:
    """A job's epochs in order.

    Args:
        database: where the job is.
        job_id: the job.
        after: only epochs with a greater number.
    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        if connection.scalar(select(Job.c.id).where(Job.c.id == job_id)) is None:
            raise JobNotFound(job_id)
        wanted = select(
            Epoch.c.number.label("epoch"),
            Epoch.c.attempt,
            Epoch.c.seconds,
            Epoch.c.images_per_s,
            Epoch.c.learning_rate,
            Epoch.c.metrics,
        ).where(Epoch.c.job_id == job_id, Epoch.c.number > after)
        rows = connection.execute(wanted.order_by(Epoch.c.number)).mappings().all()
    return [cast(EpochAnswer, plain(row)) for row in rows]


def events(database: Database, job_id: int) -> list[EventAnswer]:
    """What happened to a job, oldest first.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        if connection.scalar(select(Job.c.id).where(Job.c.id == job_id)) is None:
            raise JobNotFound(job_id)
        wanted = select(Event.c.at, Event.c.kind, Event.c.actor, Event.c.detail)
        ordered = wanted.where(Event.c.job_id == job_id).order_by(Event.c.id)
        rows = connection.execute(ordered).all()
    return [
        {"at": iso(row.at), "kind": row.kind, "actor": row.actor, "detail": row.detail}
        for row in rows
    ]


def state(database: Database, job_id: int) -> JobState:
    """A job's state. A short query, for callers that repeat it.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        found = connection.scalar(select(Job.c.state).where(Job.c.id == job_id))
    if found is None:
        raise JobNotFound(job_id)
    return found


def has_key(database: Database, key: str) -> bool:
    """Whether a job has this key."""
    with database.read() as connection:
        return connection.scalar(select(Job.c.id).where(Job.c.key == key)) is not None


def succeeded_like(
    database: Database, spec_hash: str, fingerprint: str, *, before: int | None = None
) -> int | None:
    """Id of the last job that succeeded with an equal spec on equal data; None if there is none.

    Args:
        database: where to look.
        spec_hash: the spec's hash.
        fingerprint: the data set's fingerprint.
        before: only jobs with a smaller id.
    """
    wanted = last_equal(spec_hash, fingerprint)
    with database.read() as connection:
        return connection.scalar(wanted if before is None else wanted.where(Job.c.id < before))


def last_equal(spec_hash: str, fingerprint: str) -> Select[int]:
    """The query of `succeeded_like`."""
    equal = [Job.c.spec_hash == spec_hash, Job.c.data_fingerprint == fingerprint]
    succeeded = select(Job.c.id).where(*equal, Job.c.state == SUCCEEDED)
    return succeeded.order_by(Job.c.id.desc()).limit(1)
