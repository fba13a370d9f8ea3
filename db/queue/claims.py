"""Claims: a slot takes the best job that it can run, and no two slots take the same job."""

import re
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
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    union_all,
    update,
)

from fornada.db.clock import later, now
from fornada.db.queue import queues, verdicts
from fornada.db.queue.fences import QUEUED, RUNNING, queued
from fornada.db.queue.fleet import GPUS, NEEDS_GPU, Fleet
from fornada.db.queue.moves import RETRIED, record_move
from fornada.db.queue.workers import WORKER_IS_GONE_S, heard_of
from fornada.db.records import UID_PATTERN, Claim, Failure, Fence, Verdict
from fornada.db.states import AttemptOutcome, FailureCode, JobState
from fornada.db.store.run_time import ATTEMPT_S
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Event, Job, Worker

# A claim reads this many of the best jobs of each kind, and takes the best one that no other claim
# has locked. Each competing claim locks one row, so at most max_connections rows are locked.
CANDIDATES = 100
# A literal in the SQL text and not a parameter: the planner would expect an unknown limit to be a
# tenth of the queue, and choose a bad plan.
_LIMIT: ColumnElement[int] = literal_column(str(CANDIDATES))
# Whether a job is queued and has no `not_before`.
AT_ONCE = and_(queued(), Job.c.not_before.is_(None))
# Whether a job is queued and its `not_before` is over.
TIME_HAS_COME = and_(queued(), Job.c.not_before <= now())
# Parameters of the claim. Everything else in its statement stays the same, so that the statement is
# built and compiled only once.
_WORKER, _SLOT, _HOST = (
    bindparam(f"its_{name}", type_=Job.c.worker.type) for name in ("worker", "slot", "host")
)
_LEASE_S = bindparam("its_lease_s", type_=Float())
# True for a job that does not avoid the slot's host. A job avoids the host of its last attempt that
# crashed, was lost, or failed because of its host.
_HOST_ACCEPTED = or_(Job.c.avoid_host.is_(None), Job.c.avoid_host != _HOST)
_HOST_AVOIDED = Job.c.avoid_host == _HOST
# A function of queues and values of `gpus`. It builds the statement that claims the best job.
_ClaimBuilder = Callable[[tuple[str, ...], tuple[str, ...]], Update]
_INSERT_ATTEMPT = insert(Attempt).values(claimed_at=now())
# Columns returned for the claimed job.
_CLAIMED = tuple(
    Job.c[name]
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
        """The values of `gpus` with which a job fits the slot: "auto", "0", and "1" with a GPU."""
        return tuple(gpus for gpus in GPUS if self.has_gpu or gpus != NEEDS_GPU)

    @property
    def values(self) -> dict[str, Any]:
        """The values for the parameters of the claim's statements."""
        return {
            _WORKER.key: self.worker,
            _SLOT.key: self.slot,
            _HOST.key: self.host,
            _LEASE_S.key: self.lease_s,
        }


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
    """Claim the best job that a slot can run: the highest priority, then the oldest.

    A job avoids the host of its last attempt that crashed, was lost, or failed because of its host.
    A slot on that host claims the job only when it finds no other job, and no other living host
    could run it.

    Args:
        database: where the jobs are.
        worker: the worker's registered name.
        slot: the slot's name.
        queues: the queues that the worker serves.
        has_gpu: whether the slot has a GPU.
        lease_s: seconds after which the attempt is lost, unless it renews its lease.
        host: the worker's host; None for the host that it registered.
        within_s: other workers count as alive if they were seen within this many seconds.
    Returns:
        The job, which now runs; None when there is no job to run.
    """
    while True:
        with database.begin() as connection:
            facts = SlotFacts(worker, slot, host or _host(connection, worker), has_gpu, lease_s)
            row = _take(connection, facts, queues, within_s)
            if row is None:
                return None
            _record(connection, row, facts)
            refused = _refused(row)
            if refused is None:
                return _claim_of(connection, row)
            # Fail the job, so that the queue goes on behind it.
            verdict = Verdict(AttemptOutcome.FAILED, failure=refused)
            verdicts.end(connection, Fence(row.id, row.attempt), verdict, pause_s=0.0)


def _record(connection: Connection, row: Row[Any], slot: SlotFacts) -> None:
    """Record the attempt of a claimed job, and its event."""
    facts = {"worker": slot.worker, "host": slot.host, "slot": slot.slot}
    connection.execute(_INSERT_ATTEMPT, {"job_id": row.id, "number": row.attempt, **facts})
    change = (JobState.QUEUED, JobState.RUNNING)
    record_move(connection, row.id, change, slot.worker, {"attempt": row.attempt, **facts})


def _refused(row: Row[Any]) -> Failure | None:
    """Why a worker cannot run a job at all, whatever its spec says; None if it can.

    Our own code writes no such row, but whoever may write to the database can.
    """
    if re.fullmatch(UID_PATTERN, row.uid) is None:
        # The folder of its files would lie somewhere else.
        return Failure(FailureCode.SPEC_INVALID, "uid: the uid of this job is not a UUID")
    return None


def unanswered(database: Database, *, worker: str, slot: str, lease_s: float) -> Claim | None:
    """Find the job of a claim whose answer got lost, and start its lease again.

    The connection may break after the database has committed a claim and before the worker gets the
    answer. A slot that runs nothing asks this before its next claim.

    Returns:
        What the claim would have returned; None when the slot claimed no job.
    """
    ours = [Job.c.state == RUNNING, Job.c.worker == worker, Job.c.slot == slot]
    with database.begin() as connection:
        renewed = (
            update(Job).where(*ours).values(lease_until=later(now(), lease_s), lease_s=lease_s)
        )
        row = connection.execute(renewed.returning(*_CLAIMED)).first()
        return None if row is None else _claim_of(connection, row)


def ready() -> ColumnElement[bool]:
    """Whether a job is queued and its time has come."""
    return and_(Job.c.state == QUEUED, or_(Job.c.not_before.is_(None), Job.c.not_before <= now()))


def claimable(
    names: Sequence[str], gpus: Sequence[str], which: ColumnElement[bool] | None = None
) -> Select[int]:
    """Ids of jobs that could be claimed now, best first; up to `CANDIDATES` of each kind.

    The query reads no other waiting job, however many there are: see `kinds`.

    Args:
        names: the queues to look in.
        gpus: the values of `gpus` that fit the slot: "auto", "0", "1".
        which: a further condition; None for all jobs.
    """
    condition = true() if which is None else which
    best = [kind.where(condition).limit(_LIMIT).subquery() for kind in kinds(names, gpus)]
    found = union_all(*(select(query) for query in best)).subquery()
    return (
        select(Job.c.id)
        .join(found, found.c.id == Job.c.id)
        # Checked again when the row is locked: a person may have held or moved the job meanwhile.
        .where(queued(), Job.c.queue.in_(names))
        .order_by(found.c.priority.desc(), found.c.id)
    )


def kinds(names: Sequence[str], gpus: Sequence[str]) -> list[Select[int, int]]:
    """One query for each kind of job that could be claimed now, best first.

    A kind is a queue together with a value of `gpus`. An index has the jobs of one kind in order.
    The last query is for the jobs of all kinds whose `not_before` is over.
    """
    best = select(Job.c.id, Job.c.priority).order_by(Job.c.priority.desc(), Job.c.id)
    had_to_wait = best.where(Job.c.queue.in_(names), TIME_HAS_COME, Job.c.gpus.in_(gpus))
    at_once = [
        best.where(AT_ONCE, Job.c.queue == name, Job.c.gpus == gpu)
        for name in names
        for gpu in gpus
    ]
    return [*at_once, had_to_wait]


def _claim_of(connection: Connection, row: Row[Any]) -> Claim:
    earlier = [
        attempt
        for attempt in _attempts(connection, row.id, row.resume_after)
        if attempt.number < row.attempt
    ]
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
        resume_from=_resume_from(connection, row, [attempt.number for attempt in earlier]),
        after_host_oom=any(one.failure_code == FailureCode.HOST_OOM for one in earlier),
        used_s=_used_s(connection, row),
    )


def _host(connection: Connection, worker: str) -> str:
    return connection.scalar(select(Worker.c.host).where(Worker.c.name == worker)) or worker


def _take(
    connection: Connection, slot: SlotFacts, names: Sequence[str], within_s: float
) -> Row[Any] | None:
    served = queues.served(connection, names)
    row = _take_within_limits(connection, slot, served, _claim_accepted)
    if row is not None:
        return row
    avoiding = claimable(served.names, slot.gpus, _HOST_AVOIDED).limit(1)
    if connection.scalar(avoiding, slot.values) is None:
        return None
    which = and_(_HOST_AVOIDED, _fits_no_other_host(connection, slot, served.names, within_s))
    return _take_within_limits(
        connection, slot, served, lambda names, gpus: _claim_best(claimable(names, gpus, which))
    )


def _take_within_limits(
    connection: Connection, slot: SlotFacts, served: queues.Served, build: _ClaimBuilder
) -> Row[Any] | None:
    """Claim the best job. If its queue has become full meanwhile, undo that and try the others."""
    while served.limited:
        with connection.begin_nested() as savepoint:
            row = _take_best(connection, slot, served, build)
            if row is None or row.queue not in served.limited:
                return row
            if not queues.overfull(connection, row.queue):
                return row
            savepoint.rollback()
        served = served.without(row.queue)
    return _take_best(connection, slot, served, build)


def _take_best(
    connection: Connection, slot: SlotFacts, served: queues.Served, build: _ClaimBuilder
) -> Row[Any] | None:
    return connection.execute(build(served.names, slot.gpus), slot.values).one_or_none()


@cache
def _claim_accepted(names: tuple[str, ...], gpus: tuple[str, ...]) -> Update:
    """The statement that claims the best job that does not avoid the slot's host."""
    return _claim_best(claimable(names, gpus, _HOST_ACCEPTED))


def _claim_best(candidates: Select[int]) -> Update:
    """The statement that claims the first candidate that no other claim has locked."""
    # SKIP LOCKED: two workers never wait for the same job. SQLite has no such lock and needs none,
    # because it has one writer at a time.
    # key_share: an open transaction that has inserted an event of the job does not hold it up.
    lock = candidates.limit(1).with_for_update(of=Job, skip_locked=True, key_share=True)
    best = lock.cte("best")
    return (
        update(Job)
        .where(Job.c.id == select(best.c.id).scalar_subquery())
        .values(
            state=JobState.RUNNING,
            attempt=Job.c.attempt + 1,
            not_before=None,
            worker=_WORKER,
            slot=_SLOT,
            started_at=now(),
            lease_until=later(now(), _LEASE_S),
            lease_s=_LEASE_S,
        )
        .returning(*_CLAIMED)
    )


def _fits_no_other_host(
    connection: Connection, slot: SlotFacts, names: Sequence[str], within_s: float
) -> ColumnElement[bool]:
    """The condition that no other living host can run a job of these queues."""
    workers = heard_of(connection, within_s)
    others = Fleet.taking(worker for worker in workers if worker.host != slot.host)
    only_here = {gpus: [q for q in names if not others.fitting(q, gpus)] for gpus in GPUS}
    return or_(*(and_(Job.c.gpus == gpus, Job.c.queue.in_(only_here[gpus])) for gpus in GPUS))


def _resume_from(
    connection: Connection, row: Row[Any], earlier: Sequence[int]
) -> tuple[tuple[str, int], ...]:
    """The attempts that may have left a training state: this job's, then the continued job's."""
    found = [(row.uid, number) for number in earlier]
    if row.continues_id is not None:
        wanted = select(Job.c.uid, Job.c.resume_after).where(Job.c.id == row.continues_id)
        continued = connection.execute(wanted).one()
        attempts = _attempts(connection, row.continues_id, continued.resume_after)
        found += [(continued.uid, attempt.number) for attempt in attempts]
    return tuple((uid, number) for uid, number in found if re.fullmatch(UID_PATTERN, uid))


def _used_s(connection: Connection, row: Row[Any]) -> float:
    """Seconds of a job's time limit that earlier attempts have used; 0 without a time limit."""
    if row.time_limit_s is None or row.attempt == 1:
        return 0.0
    retried = select(func.max(Event.c.at)).where(Event.c.job_id == row.id, Event.c.kind == RETRIED)
    used = select(func.sum(ATTEMPT_S)).where(
        Attempt.c.job_id == row.id,
        Attempt.c.number < row.attempt,
        Attempt.c.claimed_at >= func.coalesce(retried.scalar_subquery(), Attempt.c.claimed_at),
    )
    return connection.scalar(used) or 0.0


def _attempts(connection: Connection, job_id: int, after: int) -> Sequence[Row[int, str | None]]:
    """Number and failure code of a job's attempts later than `after`, newest first."""
    wanted = select(Attempt.c.number, Attempt.c.failure_code).where(
        Attempt.c.job_id == job_id, Attempt.c.number > after
    )
    return connection.execute(wanted.order_by(Attempt.c.number.desc())).all()
