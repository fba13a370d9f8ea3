"""Workers: what they report about themselves, which are alive, and requests to drain them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    false,
    or_,
    select,
    true,
    update,
)

from fornada.db.answers import SlotAnswer, WorkerAnswer
from fornada.db.clock import later, now
from fornada.db.queue.fences import RUNNING
from fornada.db.records import WorkerProcess
from fornada.db.states import WorkerState
from fornada.db.store.locks import LockHeld, lock_within
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, Worker
from fornada.db.store.upsert import insert_for
from fornada.db.timestamps import iso

# Seconds after which a silent worker counts as gone. A worker beats every ten seconds, so it has
# missed three beats.
WORKER_IS_GONE_S = 30.0
# Seconds that a beat waits for its worker's row. A request to drain locks it for milliseconds; who
# keeps it longer must not hold up the upkeep that comes after the beat.
BEAT_S = 1.0


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker reports about itself."""

    # Unique among living workers.
    name: str
    host: str
    pid: int
    slots: Sequence[SlotAnswer]
    queues: Sequence[str]
    devices: Sequence[Any]
    versions: Mapping[str, str]
    state: WorkerState
    # Why it takes no jobs; None while its host can run jobs.
    unfit: str | None = None


def register(
    database: Database,
    facts: WorkerFacts,
    *,
    within_s: float | None = None,
    instead_of: tuple[str, int] | None = None,
    begun_s: float = 0.0,
) -> bool:
    """Record a worker that has started, unless a living worker has its name.

    When several workers with one name register at the same time, one of them succeeds.

    Args:
        database: where the worker is recorded.
        facts: what the worker reports.
        within_s: another worker counts as alive if it was seen within this many seconds; None
            replaces any other worker.
        instead_of: host and process id of a worker with this name that is known to have ended.
        begun_s: seconds since the worker's parent process started. The parent may have restarted
            this process since then. A request to drain is kept if it is not older than this.
    Returns:
        Whether the worker is recorded.
    """
    may_replace: ColumnElement[bool] = true()
    if within_s is not None:
        may_replace = or_(
            Worker.c.seen_at < later(now(), -within_s), Worker.c.state == WorkerState.GONE
        )
    # The row may already be this worker's own: the answer to an earlier call may have been lost
    # after its commit.
    for host, pid in [(facts.host, facts.pid), *([instead_of] if instead_of else [])]:
        may_replace = or_(may_replace, and_(Worker.c.host == host, Worker.c.pid == pid))
    keep_drain = Worker.c.drain_requested_at.between(later(now(), -begun_s), now())
    changed = {
        "started_at": now(),
        "drain_requested_at": case((keep_drain, Worker.c.drain_requested_at)),
        "drain_requested_by": case((keep_drain, Worker.c.drain_requested_by)),
    }
    return _write(database, facts, changed, may_replace) is not None


def beat(database: Database, facts: WorkerFacts) -> bool:
    """Record that a worker is alive, and what it reports now.

    If somebody keeps the worker's row locked, nothing is recorded, and the next beat tries again.

    Returns:
        Whether a person has asked it to drain since it started.
    """
    try:
        row = _write(database, facts, {}, true(), wait_s=BEAT_S)
    except LockHeld:
        return False
    return row is not None and row.drain_requested_at is not None


def request_drain(
    database: Database, name_or_host: str, actor: str, within_s: float = WORKER_IS_GONE_S
) -> list[str]:
    """Ask one worker, or all workers on one host, to take no more jobs, save and end.

    Args:
        database: where the workers are recorded.
        name_or_host: name of the worker, or name of the host.
        actor: who asks.
        within_s: workers count as alive if they were seen within this many seconds.
    Returns:
        Names of the living workers that match, also those that were asked earlier; empty when
            there is none.
    """
    with database.begin() as connection:
        matches = or_(Worker.c.name == name_or_host, Worker.c.host == name_or_host)
        rows = connection.execute(
            select(Worker.c.name).where(matches, *_alive(within_s)).order_by(Worker.c.name)
        )
        names = [row.name for row in rows.all()]
        not_asked = and_(Worker.c.name.in_(names), Worker.c.drain_requested_at.is_(None))
        request = {"drain_requested_at": now(), "drain_requested_by": actor}
        connection.execute(update(Worker).where(not_asked).values(request))
        return names


def gone(database: Database, name: str, *, process: WorkerProcess | None = None) -> None:
    """Record that a worker has ended. Its row stays in the table.

    Args:
        database: where the worker is recorded.
        name: its name.
        process: record it only if the worker's row is still that of this process.
    """
    which = Worker.c.name == name if process is None else is_process(process)
    with database.begin() as connection:
        connection.execute(update(Worker).where(which).values(state=WorkerState.GONE, unfit=None))


def is_process(process: WorkerProcess) -> ColumnElement[bool]:
    """Whether a worker's row is that of this process."""
    return and_(
        Worker.c.name == process.name,
        Worker.c.host == process.host,
        Worker.c.pid == process.pid,
    )


def lost_jobs(database: Database, dead: Collection[WorkerProcess]) -> set[int]:
    """Ids of the running jobs whose worker is one of the dead ones."""
    names = select(Worker.c.name).where(or_(false(), *map(is_process, dead)))
    running = select(Job.c.id).where(Job.c.state == RUNNING, Job.c.worker.in_(names))
    with database.read() as connection:
        return set(connection.scalars(running))


def alive(
    database: Database, within_s: float, dead: Collection[WorkerProcess] = ()
) -> list[WorkerAnswer]:
    """The workers that were seen within so many seconds, sorted by name.

    Args:
        database: where the workers are recorded.
        within_s: how many seconds.
        dead: workers that are known to have ended, although their rows do not say so yet.
    Returns:
        One document for each worker. Its `state` is `starting`, `draining`, `unfit` when its host
        cannot run jobs, `idle`, or `busy` when no slot is free.
    """
    with database.read() as connection:
        workers = heard_of(connection, within_s, dead)
        running = _running(connection)
    jobs: dict[str | None, list[int]] = defaultdict(list)
    for job in running:
        jobs[job.worker].append(job.id)
    return [
        {
            "name": worker.name,
            "host": worker.host,
            "pid": worker.pid,
            "state": _state(worker, len(jobs[worker.name])),
            "slots": worker.slots,
            "queues": worker.queues,
            "devices": worker.devices,
            "versions": worker.versions,
            "running": jobs[worker.name],
            "drain_requested_at": iso(worker.drain_requested_at),
            "drain_requested_by": worker.drain_requested_by,
            "unfit": worker.unfit,
            "started_at": iso(worker.started_at),
            "seen_at": iso(worker.seen_at),
        }
        for worker in workers
    ]


def _state(worker: Row[Any], running: int) -> WorkerState:
    """The worker's state now. Its running jobs say whether it is busy: its row may be too old."""
    if worker.state in (WorkerState.STARTING, WorkerState.DRAINING):
        return WorkerState(worker.state)
    if worker.unfit is not None:
        return WorkerState.UNFIT
    return WorkerState.IDLE if running < len(worker.slots) else WorkerState.BUSY


def idle_slots(database: Database, within_s: float) -> dict[str, int]:
    """How many slots have no job, by the queue that they serve.

    A slot that serves two queues counts in both. A worker that takes no jobs does not count.
    """
    with database.read() as connection:
        workers = heard_of(connection, within_s)
        busy = Counter(job.worker for job in _running(connection))
    idle: Counter[str] = Counter()
    for worker in workers:
        if takes_jobs(worker):
            free = max(0, len(worker.slots) - busy[worker.name])
            idle.update(dict.fromkeys(worker.queues, free))
    return dict(idle)


def takes_jobs(worker: Row[Any]) -> bool:
    """Whether a worker takes jobs: a worker that drains or is unfit takes none."""
    return worker.state != WorkerState.DRAINING and worker.unfit is None


def has_gpu(slot: SlotAnswer) -> bool:
    """Whether a slot has a GPU."""
    return str(slot["name"]).startswith("gpu")


def heard_of(
    connection: Connection, within_s: float, dead: Collection[WorkerProcess] = ()
) -> Sequence[Row[Any]]:
    """Rows of the workers that were seen within so many seconds, sorted by name, without `dead`."""
    wanted = select(Worker).where(*_alive(within_s))
    rows = connection.execute(wanted.order_by(Worker.c.name)).all()
    return [row for row in rows if WorkerProcess(row.name, row.host, row.pid) not in dead]


def _alive(within_s: float) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    # A beat in the future was before the database's clock was put back. It says nothing.
    seen = Worker.c.seen_at.between(later(now(), -within_s), later(now(), within_s))
    return seen, Worker.c.state != WorkerState.GONE


def _running(connection: Connection) -> Sequence[Row[int, str | None]]:
    return connection.execute(select(Job.c.id, Job.c.worker).where(Job.c.state == RUNNING)).all()


def _write(
    database: Database,
    facts: WorkerFacts,
    changed: Mapping[str, Any],
    where: ColumnElement[bool],
    wait_s: float | None = None,
) -> Row[Any] | None:
    """Insert a worker's row, or overwrite the row with its name.

    Args:
        database: where the worker is recorded.
        facts: what the worker reports.
        changed: further values for an existing row.
        where: overwrite an existing row only under this condition.
        wait_s: longest wait for the lock of the row, in seconds; None for the usual one.
    Returns:
        The row's `drain_requested_at`; None when no row was written.
    Raises:
        LockHeld: the row was locked for longer than `wait_s`.
    """
    values = {
        "host": facts.host,
        "pid": facts.pid,
        "slots": list(facts.slots),
        "queues": list(facts.queues),
        "devices": list(facts.devices),
        "versions": dict(facts.versions),
        "state": facts.state,
        "unfit": facts.unfit,
        "seen_at": now(),
    }
    row = values | {"name": facts.name, "started_at": now()}
    with database.begin() as connection:
        written = (
            insert_for(connection.dialect.name, Worker)
            .values(row)
            .on_conflict_do_update(index_elements=["name"], set_={**values, **changed}, where=where)
            .returning(Worker.c.drain_requested_at)
        )
        waiting = nullcontext() if wait_s is None else lock_within(connection, wait_s)
        with waiting:
            return connection.execute(written).one_or_none()
