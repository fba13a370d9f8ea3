"""Workers: who they are, and whether they were heard of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from db.clock import iso, later, now
from db.fences import RUNNING
from db.session import Database
from db.tables import Job, Worker
from db.upsert import insert_for

GONE = "gone"


@dataclass(frozen=True)
class WorkerFacts:
    """A worker as it says it is."""

    # Unique among living workers.
    name: str
    host: str
    pid: int
    # Each with its `name`, gpu:N or cpu:N, and whatever else describes it.
    slots: Sequence[Mapping[str, Any]]
    queues: Sequence[str]
    devices: Sequence[Any]
    versions: Mapping[str, str]
    # idle, busy, draining: the worker's own word; `gone` is ours.
    state: str


def register(database: Database, facts: WorkerFacts) -> None:
    """Record a worker that has come up."""
    _write(database, facts, came_up=True)


def beat(database: Database, facts: WorkerFacts) -> None:
    """Record that a worker lives, and what it is now."""
    _write(database, facts, came_up=False)


def gone(database: Database, name: str) -> None:
    """Record that a worker has ended; its row stays."""
    with database.begin() as connection:
        connection.execute(update(Worker).where(Worker.name == name).values(state=GONE))


def alive(database: Database, within_s: float) -> list[dict[str, Any]]:
    """Workers heard of within so many seconds, by name.

    Returns:
        Their facts, with `running` (ids of jobs), `started_at` and `seen_at`.
    """
    with database.read() as connection:
        workers = heard_of(connection, within_s)
        running = _running(connection)
    return [
        {
            "name": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "state": worker.state,
            "slots": worker.slots,
            "queues": worker.queues,
            "devices": worker.devices,
            "versions": worker.versions,
            "running": [job.id for job in running if job.worker == worker.name],
            "started_at": iso(worker.started_at),
            "seen_at": iso(worker.seen_at),
        }
        for worker in workers
    ]


def idle_slots(database: Database, within_s: float) -> dict[str, int]:
    """How many slots wait for work, by the queue they serve.

    A slot that serves two queues counts for both; a worker that drains counts for none.
    """
    with database.read() as connection:
        workers = heard_of(connection, within_s)
        busy = Counter(job.worker for job in _running(connection))
    idle: Counter[str] = Counter()
    for worker in workers:
        if worker.state != "draining":
            free = max(0, len(worker.slots) - busy[worker.name])
            idle.update(dict.fromkeys(worker.queues, free))
    return dict(idle)


def has_gpu(slot: Mapping[str, Any]) -> bool:
    """Whether a job that needs a GPU fits a slot."""
    return str(slot["name"]).startswith("gpu")


def heard_of(connection: Connection, within_s: float) -> Sequence[Row[Any]]:
    """Rows of the workers that are alive, by name."""
    recent = Worker.seen_at >= later(now(), -within_s)
    wanted = select(*Worker.__table__.c).where(recent, Worker.state != GONE)
    return connection.execute(wanted.order_by(Worker.name)).all()


def _running(connection: Connection) -> Sequence[Row[int, str | None]]:
    return connection.execute(select(Job.id, Job.worker).where(Job.state == RUNNING)).all()


def _write(database: Database, facts: WorkerFacts, *, came_up: bool) -> None:
    values = {
        "host": facts.host,
        "pid": facts.pid,
        "slots": list(facts.slots),
        "queues": list(facts.queues),
        "devices": list(facts.devices),
        "versions": dict(facts.versions),
        "state": facts.state,
        "seen_at": now(),
    }
    with database.begin() as connection:
        row = values | {"name": facts.name, "started_at": now()}
        changed = values | ({"started_at": now()} if came_up else {})
        connection.execute(
            insert_for(connection, Worker)
            .values(row)
            .on_conflict_do_update(index_elements=["name"], set_=changed)
        )
