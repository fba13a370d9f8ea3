"""Workers: who they are, and whether they were heard of."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, or_, select, true, update

from fornada.db.clock import later, now
from fornada.db.queue.fences import RUNNING
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, Worker
from fornada.db.store.upsert import insert_for
from fornada.db.timestamps import iso

# A worker beats every ten seconds: three missed, and it is not there.
WORKER_IS_GONE_S = 30.0


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
    state: WorkerState


def register(
    database: Database,
    facts: WorkerFacts,
    *,
    within_s: float | None = None,
    instead_of: tuple[str, int] | None = None,
    begun_s: float = 0.0,
) -> bool:
    """Record a worker that has come up, unless a living one has its name; of several at once, one.

    Args:
        within_s: how long ago another may have been heard of to be alive; None asks for none.
        instead_of: host and process id of the one that is known to have ended.
        begun_s: how long ago it was begun; that somebody asked it to drain since then holds still,
            though its process is another one now.
    Returns:
        Whether it is recorded.
    """
    ended: ColumnElement[bool] = true()
    if within_s is not None:
        ended = or_(Worker.seen_at < later(now(), -within_s), Worker.state == WorkerState.GONE)
    # A commit whose answer was cut off is ours already.
    for host, pid in [(facts.host, facts.pid), *([instead_of] if instead_of else [])]:
        ended = or_(ended, and_(Worker.host == host, Worker.pid == pid))
    meant = Worker.drain_requested_at >= later(now(), -begun_s)
    anew = {
        "started_at": now(),
        "drain_requested_at": case((meant, Worker.drain_requested_at)),
        "drain_requested_by": case((meant, Worker.drain_requested_by)),
    }
    return _write(database, facts, anew, ended) is not None


def beat(database: Database, facts: WorkerFacts) -> bool:
    """Record that a worker lives, and what it is now.

    Returns:
        Whether a person has asked it to drain since it came up.
    """
    row = _write(database, facts, {}, true())
    return row is not None and row.drain_requested_at is not None


def request_drain(
    database: Database, name_or_host: str, actor: str, within_s: float = WORKER_IS_GONE_S
) -> list[str]:
    """Ask the worker of this name, or all of this host, to take no more jobs, save and end.

    Args:
        within_s: how long ago it may last have been heard of.
    Returns:
        The names of those that are asked, now or before; none when no such worker is alive.
    """
    with database.begin() as connection:
        named = or_(Worker.name == name_or_host, Worker.host == name_or_host)
        rows = connection.execute(
            select(Worker.name).where(named, *_alive(within_s)).order_by(Worker.name)
        )
        names = [row.name for row in rows.all()]
        first = and_(Worker.name.in_(names), Worker.drain_requested_at.is_(None))
        asked = {"drain_requested_at": now(), "drain_requested_by": actor}
        connection.execute(update(Worker).where(first).values(asked))
        return names


def gone(database: Database, name: str) -> None:
    """Record that a worker has ended; its row stays."""
    with database.begin() as connection:
        connection.execute(update(Worker).where(Worker.name == name).values(state=WorkerState.GONE))


def alive(database: Database, within_s: float) -> list[dict[str, Any]]:
    """Workers heard of within so many seconds, by name.

    Returns:
        Their facts, with `running` (ids of jobs), `started_at` and `seen_at`; `state` is
        `starting`, `draining`, `busy` when no slot is free, or `idle`.
    """
    with database.read() as connection:
        workers = heard_of(connection, within_s)
        running = _running(connection)
    jobs: dict[str | None, list[int]] = defaultdict(list)
    for job in running:
        jobs[job.worker].append(job.id)
    return [
        {
            "name": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "state": _standing(worker, len(jobs[worker.name])),
            "slots": worker.slots,
            "queues": worker.queues,
            "devices": worker.devices,
            "versions": worker.versions,
            "running": jobs[worker.name],
            "drain_requested_at": iso(worker.drain_requested_at),
            "drain_requested_by": worker.drain_requested_by,
            "started_at": iso(worker.started_at),
            "seen_at": iso(worker.seen_at),
        }
        for worker in workers
    ]


def _standing(worker: Row[Any], running: int) -> WorkerState:
    """By the jobs that run on it: its own word is as old as its last beat."""
    if worker.state in (WorkerState.STARTING, WorkerState.DRAINING):
        return WorkerState(worker.state)
    return WorkerState.IDLE if running < len(worker.slots) else WorkerState.BUSY


def idle_slots(database: Database, within_s: float) -> dict[str, int]:
    """How many slots wait for work, by the queue they serve.

    A slot that serves two queues counts for both; a worker that drains counts for none.
    """
    with database.read() as connection:
        workers = heard_of(connection, within_s)
        busy = Counter(job.worker for job in _running(connection))
    idle: Counter[str] = Counter()
    for worker in workers:
        if worker.state != WorkerState.DRAINING:
            free = max(0, len(worker.slots) - busy[worker.name])
            idle.update(dict.fromkeys(worker.queues, free))
    return dict(idle)


def has_gpu(slot: Mapping[str, Any]) -> bool:
    """Whether a job that needs a GPU fits a slot."""
    return str(slot["name"]).startswith("gpu")


def heard_of(connection: Connection, within_s: float) -> Sequence[Row[Any]]:
    """Rows of the workers that are alive, by name."""
    wanted = select(*Worker.__table__.c).where(*_alive(within_s))
    return connection.execute(wanted.order_by(Worker.name)).all()


def _alive(within_s: float) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Worker.seen_at >= later(now(), -within_s), Worker.state != WorkerState.GONE


def _running(connection: Connection) -> Sequence[Row[int, str | None]]:
    return connection.execute(select(Job.id, Job.worker).where(Job.state == RUNNING)).all()


def _write(
    database: Database, facts: WorkerFacts, anew: Mapping[str, Any], where: ColumnElement[bool]
) -> Row[Any] | None:
    """Insert a worker's row, or change the one of its name, where that is so; what it is then."""
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
    row = values | {"name": facts.name, "started_at": now()}
    with database.begin() as connection:
        written = (
            insert_for(connection.dialect.name, Worker)
            .values(row)
            .on_conflict_do_update(index_elements=["name"], set_={**values, **anew}, where=where)
            .returning(Worker.drain_requested_at)
        )
        return connection.execute(written).one_or_none()
