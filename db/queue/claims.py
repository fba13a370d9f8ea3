"""Which job a slot takes, and that no two take one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)

from fornada.db.clock import later, now
from fornada.db.queue import queues
from fornada.db.queue.fences import QUEUED, RUNNING, queued
from fornada.db.queue.fleet import GPUS, NEEDS_GPU, Fleet
from fornada.db.queue.moves import moved
from fornada.db.queue.workers import WORKER_IS_GONE_S, heard_of
from fornada.db.records import Claim
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job, Worker

# Of each kind of job a claim reads the best ones, and takes the best that no other claim has
# locked: more can hardly be locked than a server has connections. Written into the statement, as
# the state is: a plan that is kept would expect a tenth of the queue.
LOOKED_AT = 100
_FEW: ColumnElement[int] = literal_column(str(LOOKED_AT))
# Whether a job is queued and has no time to wait for; whether its time has come.
AT_ONCE = and_(queued(), Job.not_before.is_(None))
TIME_HAS_COME = and_(queued(), Job.not_before <= now())
# Values of a claim that are known when it is made; what it says else is built, and compiled, once.
_WORKER, _SLOT, _HOST = (
    bindparam(f"its_{name}", type_=Job.worker.type) for name in ("worker", "slot", "host")
)
_LEASE_S = bindparam("its_lease_s", type_=Float())
# Whether no attempt on this host crashed a job, or the last one did.
_WELCOME = or_(Job.avoid_host.is_(None), Job.avoid_host != _HOST)
_AVOIDING = Job.avoid_host == _HOST
# Makes the statement that takes the best job of some queues, with some wishes for GPUs.
_Taking = Callable[[tuple[str, ...], tuple[str, ...]], Update]
_ATTEMPTED = insert(Attempt).values(claimed_at=now())
# Of a job that was claimed.
_TAKEN = tuple(
    Job.__table__.c[name]
    for name in (
        *("id", "uid", "attempt", "name", "queue", "gpus", "spec", "time_limit_s"),
        *("retry_attempts", "cancel_requested_at", "resume_after", "continues_id"),
    )
)


@dataclass(frozen=True)
class SlotFacts:
    """A slot that asks for a job."""

    worker: str
    slot: str
    host: str
    has_gpu: bool
    lease_s: float

    @property
    def gpus(self) -> tuple[str, ...]:
        """What a job that fits may ask for: auto, 0 or 1."""
        return tuple(gpus for gpus in GPUS if self.has_gpu or gpus != NEEDS_GPU)

    @property
    def values(self) -> dict[str, Any]:
        """For the statements of a claim."""
        known = ((_WORKER, self.worker), (_SLOT, self.slot), (_HOST, self.host))
        return {each.key: value for each, value in (*known, (_LEASE_S, self.lease_s))}


def claim(  # noqa: PLR0913
    database: Database,
    *,
    worker: str,
    slot: str,
    queues: Sequence[str],
    has_gpu: bool,
    lease_s: float,
    host: str | None = None,
    within_s: float = WORKER_IS_GONE_S,
) -> Claim | None:
    """Take the best job that a slot can run: highest priority, then oldest.

    A job that an attempt on this host crashed comes last, and only where no other living host
    could run it.

    Args:
        worker: the name it registered under.
        slot: the slot's name.
        queues: the queues it serves.
        has_gpu: whether jobs that need a GPU fit.
        lease_s: how long the attempt may go unheard of, in seconds.
        host: the worker's; None for the one it registered with.
        within_s: how long ago another worker may last have been heard of.
    Returns:
        The job, now running; None when there is none.
    """
    with database.begin() as connection:
        place = SlotFacts(worker, slot, host or _host(connection, worker), has_gpu, lease_s)
        row = _take(connection, place, queues, within_s)
        if row is None:
            return None
        attempt = {
            "job_id": row.id,
            "number": row.attempt,
            "worker": worker,
            "host": place.host,
            "slot": slot,
        }
        connection.execute(_ATTEMPTED, attempt)
        detail = {"attempt": row.attempt, "worker": worker, "host": place.host, "slot": slot}
        moved(connection, row.id, (JobState.QUEUED, JobState.RUNNING), worker, detail)
        return _handed_over(connection, row)


def unanswered(database: Database, *, worker: str, slot: str, lease_s: float) -> Claim | None:
    """What a claim took whose answer was lost with the connection; its lease begins again.

    Asked by a slot that runs nothing, before its next claim.

    Returns:
        The job, as the claim would have returned it; None when the claim took none.
    """
    ours = [Job.state == RUNNING, Job.worker == worker, Job.slot == slot]
    with database.begin() as connection:
        renewed = (
            update(Job).where(*ours).values(lease_until=later(now(), lease_s), lease_s=lease_s)
        )
        row = connection.execute(renewed.returning(*_TAKEN)).first()
        return None if row is None else _handed_over(connection, row)


def ready() -> ColumnElement[bool]:
    """Whether a job is queued and its time has come."""
    return and_(Job.state == QUEUED, or_(Job.not_before.is_(None), Job.not_before <= now()))


def claimable(
    names: Sequence[str], gpus: Sequence[str], which: ColumnElement[bool] | None = None
) -> Select[int]:
    """Ids of jobs that fit and could be run now, best first; `LOOKED_AT` or more, if there are.

    However many others wait, none of them is read: see `kinds`.

    Args:
        names: the jobs' queues.
        gpus: what they may ask for: auto, 0 or 1.
        which: only these of them; None for all.
    """
    wanted = true() if which is None else which
    best = [kind.where(wanted).limit(_FEW).subquery() for kind in kinds(names, gpus)]
    found = union_all(*(select(each) for each in best)).subquery()
    return (
        select(Job.id)
        .join(found, found.c.id == Job.id)
        # Looked at again when the row is locked: it may have been moved.
        .where(queued(), Job.queue.in_(names))
        .order_by(found.c.priority.desc(), found.c.id)
    )


def kinds(names: Sequence[str], gpus: Sequence[str]) -> list[Select[int, int]]:
    """Jobs that fit and could be run now, best first: each kind in an index of its own.

    A kind is a queue and a wish for GPUs; those that had to wait for their time are one more.
    """
    best = select(Job.id, Job.priority).order_by(Job.priority.desc(), Job.id)
    had_to_wait = best.where(Job.queue.in_(names), TIME_HAS_COME, Job.gpus.in_(gpus))
    each = [
        best.where(AT_ONCE, Job.queue == name, Job.gpus == gpu) for name in names for gpu in gpus
    ]
    return [*each, had_to_wait]


def _handed_over(connection: Connection, row: Row[Any]) -> Claim:
    return Claim(
        job_id=row.id,
        uid=row.uid,
        attempt=row.attempt,
        name=row.name,
        queue=row.queue,
        gpus=row.gpus,
        spec=row.spec,
        time_limit_s=row.time_limit_s,
        retry_attempts=row.retry_attempts,
        cancel_requested=row.cancel_requested_at is not None,
        resume_from=_resume_from(connection, row),
    )


def _host(connection: Connection, worker: str) -> str:
    return connection.scalar(select(Worker.host).where(Worker.name == worker)) or worker


def _take(
    connection: Connection, place: SlotFacts, names: Sequence[str], within_s: float
) -> Row[Any] | None:
    served = queues.served(connection, names)
    row = _best(connection, place, served, _welcome)
    if row is not None:
        return row
    avoided = claimable(served.names, place.gpus, _AVOIDING).limit(1)
    if connection.scalar(avoided, place.values) is None:
        return None
    alone = _no_other(connection, place, served.names, within_s)
    which = and_(_AVOIDING, alone)
    return _best(
        connection, place, served, lambda names, gpus: _taking(claimable(names, gpus, which))
    )


def _best(
    connection: Connection, place: SlotFacts, served: queues.Served, taking: _Taking
) -> Row[Any] | None:
    """Take the best of the jobs; of a queue that is full meanwhile, undo it and look further."""
    while served.limited:
        with connection.begin_nested() as undo:
            row = _first(connection, place, served, taking)
            if row is None or row.queue not in served.limited:
                return row
            if not queues.overfull(connection, row.queue):
                return row
            undo.rollback()
        served = served.without(row.queue)
    return _first(connection, place, served, taking)


def _first(
    connection: Connection, place: SlotFacts, served: queues.Served, taking: _Taking
) -> Row[Any] | None:
    return connection.execute(taking(served.names, place.gpus), place.values).one_or_none()


@cache
def _welcome(names: tuple[str, ...], gpus: tuple[str, ...]) -> Update:
    """Takes the best job of all that no attempt on this host crashed."""
    return _taking(claimable(names, gpus, _WELCOME))


def _taking(found: Select[int]) -> Update:
    # The CTE locks the row it finds, or looks further: two workers never wait for one job.
    # SQLite has no such lock and needs none, there is one writer.
    best = found.limit(1).with_for_update(of=Job, skip_locked=True).cte("best")
    return (
        update(Job)
        .where(Job.id == select(best.c.id).scalar_subquery())
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            not_before=None,
            worker=_WORKER,
            slot=_SLOT,
            started_at=now(),
            lease_until=later(now(), _LEASE_S),
            lease_s=_LEASE_S,
        )
        .returning(*_TAKEN)
    )


def _no_other(
    connection: Connection, place: SlotFacts, names: Sequence[str], within_s: float
) -> ColumnElement[bool]:
    """Whether no other host that is alive could run a job of these queues."""
    workers = heard_of(connection, within_s)
    others = Fleet.taking(worker for worker in workers if worker.host != place.host)
    alone = {gpus: [q for q in names if not others.fitting(q, gpus)] for gpus in GPUS}
    return or_(*(and_(Job.gpus == gpus, Job.queue.in_(alone[gpus])) for gpus in GPUS))


def _resume_from(connection: Connection, row: Row[Any]) -> tuple[tuple[str, int], ...]:
    own = [(row.uid, number) for number in range(row.attempt - 1, row.resume_after, -1)]
    if row.continues_id is None:
        return tuple(own)
    wanted = select(Job.uid, Job.attempt, Job.resume_after).where(Job.id == row.continues_id)
    first = connection.execute(wanted).one()
    numbers = range(first.attempt, first.resume_after, -1)
    return (*own, *((first.uid, number) for number in numbers))
