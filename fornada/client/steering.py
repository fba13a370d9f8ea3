"""Changes to jobs, queues and workers. If a change gives a job a chance to start, wake a worker."""

from collections.abc import Callable
from typing import Any

from fornada.client.connection import Connection
from fornada.db.errors import WrongState
from fornada.db.queue import queues, steering, upkeep, workers
from fornada.db.reads import documents
from fornada.db.states import JobState
from fornada.errors import WorkerNotFound


def release(connection: Connection, job_id: int) -> JobState:
    """Let a held job start; see `Client.release`."""
    return _change_and_wake(connection, job_id, steering.release)


def move(
    connection: Connection, job_id: int, *, priority: int | None, queue: str | None, top: bool
) -> JobState:
    """Give a waiting job another place; see `Client.move`."""
    steering.move(
        connection.database, job_id, connection.actor, priority=priority, queue=queue, top=top
    )
    return _wake_for(connection, job_id)


def retry(connection: Connection, job_id: int, *, fresh: bool) -> JobState:
    """Queue a failed or cancelled job again; see `Client.retry`."""
    try:
        return _change_and_wake(connection, job_id, steering.retry, fresh=fresh)
    except WrongState as error:
        if error.state is not JobState.SUCCEEDED:
            raise
        because = (
            "there is nothing to retry. "
            f"To train it further: fornada extend {job_id} --epochs +N. "
            f"To train it again from the start: fornada clone {job_id}"
        )
        raise WrongState(job_id, error.state, error.wanted, because) from None


def resume_queue(connection: Connection, name: str) -> None:
    """Start jobs from a queue again; see `Client.resume_queue`."""
    queues.resume(connection.database, name, connection.actor)
    _wake_all(connection, name)


def set_max_running(connection: Connection, name: str, count: int | None) -> None:
    """Limit how many jobs of a queue run at a time; see `Client.set_max_running`."""
    queues.set_max_running(connection.database, name, count, connection.actor)
    _wake_all(connection, name)


def drain_worker(connection: Connection, name_or_host: str) -> list[str]:
    """Ask workers to end; see `Client.drain_worker`."""
    asked = workers.request_drain(
        connection.database, name_or_host, connection.actor, connection.settings.alive_s
    )
    if not asked:
        raise WorkerNotFound(
            f"no living worker has the name or the host {name_or_host}; see fornada worker ls"
        )
    return asked


def _change_and_wake(
    connection: Connection, job_id: int, change: Callable[..., JobState], **options: Any
) -> JobState:
    state = change(connection.database, job_id, connection.actor, **options)
    _wake_for(connection, job_id)
    return state


def _wake_for(connection: Connection, job_id: int) -> JobState:
    """Wake a worker if the job is now queued; return the job's state."""
    job = documents.job(connection.database, job_id)
    state = JobState(job["state"])
    if state is JobState.QUEUED:
        # A failure needs no warning here: upkeep wakes a worker later.
        connection.wake_ups.send(job["queue"], job["uid"])
    return state


def _wake_all(connection: Connection, queue: str) -> None:
    """Wake an idle slot for each job of the queue that could start now."""
    waiting = upkeep.claimable(connection.database)
    idle = workers.idle_slots(connection.database, connection.settings.alive_s)
    for _ in range(min(waiting.get(queue, 0), idle.get(queue, 0))):
        if connection.wake_ups.send(queue):
            return
