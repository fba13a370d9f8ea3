"""Jobs that wait for other jobs, their dependencies.

A waiting job is held. It is queued when its dependencies have succeeded, and cancelled when one of
them ended without success. The transaction that ends a dependency makes these moves: it settles the
waiting jobs.

Rows are locked in the order of their ids, because a job can depend only on older jobs. So two
transactions that settle at the same time cannot wait for each other in a circle.
"""

import heapq
from collections.abc import Iterable, Sequence

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from fornada.db.clock import now
from fornada.db.errors import JobNotFound
from fornada.db.queue.fences import HELD, unindexed
from fornada.db.queue.moves import UPKEEP, record_move
from fornada.db.states import FINAL_STATES, LIVE_STATES, JobState, StopReason
from fornada.db.store.run_time import run_s
from fornada.db.store.session import Database
from fornada.db.store.tables import Dependency, Job, UpkeepTurn

# Held jobs that one beat of upkeep checks. Most sites have fewer, and the check takes milliseconds.
HELD_PER_BEAT = 2000
# Ids of the jobs that wait for the job `needed`, or have waited for it. Built only once.
WAITING_FOR = select(Dependency.c.job_id).where(Dependency.c.needs_id == bindparam("needed"))
# A function of deploy/postgres/grants.sql deletes for clients: with the right to delete, a client
# could lock the whole table. The function does not exist where one user owns the database.
_MAY_WAIVE = text(
    "SELECT has_function_privilege("
    "to_regprocedure('fornada_waive_dependencies(bigint, bigint[])'), 'EXECUTE')"
)
_WAIVE = text("SELECT fornada_waive_dependencies(:job_id, :failed)")


def lock_dependencies(connection: Connection, after: Iterable[int]) -> Sequence[Row[int, JobState]]:
    """Lock the dependencies of a new job, so that none ends before this transaction does.

    Args:
        connection: the transaction.
        after: ids of the dependencies.
    Returns:
        Their ids and states.
    Raises:
        JobNotFound: one of them does not exist.
    """
    wanted = sorted(set(after))
    if not wanted:
        return []
    rows = select(Job.c.id, Job.c.state).where(Job.c.id.in_(wanted)).order_by(Job.c.id)
    found = connection.execute(rows.with_for_update(read=True)).all()
    missing = set(wanted) - {row.id for row in found}
    if missing:
        raise JobNotFound(min(missing))
    return found


def add_dependencies(
    connection: Connection, job_id: int, after: Iterable[int], any_end: bool
) -> None:
    """Record the dependencies of a new job."""
    rows = [
        {"job_id": job_id, "needs_id": needs_id, "any_end": any_end}
        for needs_id in sorted(set(after))
    ]
    if rows:
        connection.execute(insert(Dependency), rows)


def lock_dependencies_of(connection: Connection, job_id: int) -> None:
    """Lock the dependencies of a job, so that none ends before this transaction does."""
    after = select(Dependency.c.needs_id).where(Dependency.c.job_id == job_id)
    lock_dependencies(connection, connection.scalars(after))


def unmet_of(connection: Connection, job_ids: Sequence[int]) -> dict[int, list[int]]:
    """For each waiting job, the ids of its dependencies that have not ended."""
    unmet: dict[int, list[int]] = {}
    if not job_ids:
        return unmet
    wanted = (
        select(Dependency.c.job_id, Dependency.c.needs_id)
        .join(Job, Job.c.id == Dependency.c.needs_id)
        .where(Dependency.c.job_id.in_(job_ids), Job.c.state.in_(sorted(LIVE_STATES)))
        .order_by(Dependency.c.job_id, Dependency.c.needs_id)
    )
    for job_id, needs_id in connection.execute(wanted):
        unmet.setdefault(job_id, []).append(needs_id)
    return unmet


def waive_failed(connection: Connection, job_id: int) -> list[int]:
    """Delete the dependencies that ended without the success that the job needs.

    Returns:
        Their ids.
    """
    failed = [needed.id for needed in _needs_of(connection, job_id) if _has_failed(needed)]
    if not failed:
        return []
    if connection.dialect.name == "postgresql" and connection.scalar(_MAY_WAIVE):
        connection.execute(_WAIVE, {"job_id": job_id, "failed": failed})
    else:
        of_job = Dependency.c.job_id == job_id
        connection.execute(delete(Dependency).where(of_job, Dependency.c.needs_id.in_(failed)))
    return failed


def cancel_waiting(
    connection: Connection, job_id: int, state: JobState, actor: str, reason: str | None
) -> None:
    """Cancel a job that is queued or held. The caller then settles the jobs that wait for it.

    Args:
        connection: the transaction, which has locked the job.
        job_id: the job.
        state: its state now.
        actor: who cancels it.
        reason: why, for people.
    """
    values = {
        "state": JobState.CANCELLED,
        "finished_at": now(),
        # It may have run before, and waited again.
        "duration_s": run_s(),
        "stop_reason": StopReason.CANCELLED,
        "cancel_requested_at": now(),
        "cancel_requested_by": actor,
        "cancel_reason": reason,
    }
    connection.execute(update(Job).where(Job.c.id == job_id).values(values))
    detail = {"reason": reason} if reason else None
    record_move(connection, job_id, (state, JobState.CANCELLED), actor, detail)


def settle(connection: Connection, ended: int) -> None:
    """Queue or cancel the jobs that waited for a job that this transaction has ended."""
    # A heap, so that jobs are locked in the order of their ids: see the top of this file.
    waiting = [(job_id, ended) for job_id in _waiting_for(connection, ended)]
    heapq.heapify(waiting)
    while waiting:
        job_id, cause = heapq.heappop(waiting)
        if decide(connection, job_id, f"job {cause}") is JobState.CANCELLED:
            for dependent in _waiting_for(connection, job_id):
                heapq.heappush(waiting, (dependent, job_id))


def decide(
    connection: Connection, job_id: int, actor: str | None = None, *, skip_locked: bool = False
) -> JobState | None:
    """Queue a held job if its dependencies have ended, or cancel it if one has failed.

    Args:
        connection: the transaction.
        job_id: the held job.
        actor: who does it, for the event; None for the dependency that failed, or the job itself.
        skip_locked: leave a job alone that another transaction has locked, and do not wait.
    Returns:
        The job's new state; None when the job must still wait.
    """
    held = select(Job.c.held_by).where(Job.c.id == job_id, Job.c.state == HELD)
    lock_held = held.with_for_update(key_share=True, skip_locked=skip_locked)
    job = connection.execute(lock_held).one_or_none()
    if job is None:
        return None
    # Read after the lock: when two dependencies end at the same time, their transactions take turns
    # here, and the second one sees the end of the first.
    found = _needs_of(connection, job_id)
    for needed in found:
        if _has_failed(needed):
            reason = f"job {needed.id}, which it waits for, has {_ended(needed.state)}"
            by = actor or f"job {needed.id}"
            cancel_waiting(connection, job_id, JobState.HELD, by, reason)
            return JobState.CANCELLED
    if job.held_by is not None or not all(needed.state.final for needed in found):
        return None
    after = [needed.id for needed in found]
    connection.execute(update(Job).where(Job.c.id == job_id).values(state=JobState.QUEUED))
    by = actor or f"job {job_id}"
    record_move(connection, job_id, (JobState.HELD, JobState.QUEUED), by, {"after": after})
    return JobState.QUEUED


def release_due(database: Database, *, most: int = HELD_PER_BEAT) -> list[int]:
    """Settle held jobs that should no longer wait. Finds something only after an error elsewhere.

    Args:
        database: where the jobs are.
        most: how many held jobs to check. The next call checks the next ones.
    Returns:
        Ids of the jobs that were queued or cancelled.
    """
    with database.read() as connection:
        after = connection.scalar(select(UpkeepTurn.c.settled_to))
        to = connection.scalar(_held(after).offset(most - 1).limit(1))
        ids = list(connection.scalars(due(after, to)))
    if to != after:
        with database.begin() as connection:
            connection.execute(update(UpkeepTurn).values(settled_to=to))
    settled = []
    for job_id in ids:
        with database.begin() as connection:
            # A job that somebody keeps locked must not hold up the upkeep of all others.
            state = decide(connection, job_id, UPKEEP, skip_locked=True)
            if state is JobState.CANCELLED:
                settle(connection, job_id)
            if state is not None:
                settled.append(job_id)
    return settled


def _needs_of(connection: Connection, job_id: int) -> Sequence[Row[int, JobState, bool]]:
    """Id, state and `any_end` of each dependency of a job."""
    wanted = (
        select(Job.c.id, Job.c.state, Dependency.c.any_end)
        .join(Dependency, Dependency.c.needs_id == Job.c.id)
        .where(Dependency.c.job_id == job_id)
        .order_by(Job.c.id)
    )
    return connection.execute(wanted).all()


def met(state: JobState, any_end: bool) -> bool:
    """Whether a dependency in this state lets the waiting job start."""
    return state.final if any_end else state is JobState.SUCCEEDED


def _has_failed(needed: Row[int, JobState, bool]) -> bool:
    """Whether a dependency ended without the success that the waiting job needs."""
    return bool(needed.state.final and not met(needed.state, needed.any_end))


def _ended(state: JobState) -> str:
    return "been cancelled" if state is JobState.CANCELLED else str(state)


def _waiting_for(connection: Connection, job_id: int) -> Sequence[int]:
    """Ids of the jobs that wait for a job, or have waited for it."""
    return connection.scalars(WAITING_FOR, {"needed": job_id}).all()


def due(after: int | None, to: int | None) -> Select[int]:
    """Ids of held jobs that should no longer wait.

    Args:
        after: only ids greater than this; None for no limit.
        to: only ids up to this; None for no limit.
    """
    needed = Job.alias().c
    of_job = [Dependency.c.job_id == Job.c.id, needed.id == Dependency.c.needs_id]
    # COUNT and not EXISTS: for EXISTS, PostgreSQL would read the dependencies of all jobs.
    count = select(func.count()).where(*of_job).correlate(Job)
    unfinished = count.where(unindexed(needed.state).in_(sorted(LIVE_STATES))).scalar_subquery()
    bad = [state for state in sorted(FINAL_STATES) if state is not JobState.SUCCEEDED]
    failed = count.where(unindexed(needed.state).in_(bad), Dependency.c.any_end.is_(False))
    may_start = and_(Job.c.held_by.is_(None), unfinished == 0)
    found = _held(after).where(or_(may_start, failed.scalar_subquery() > 0))
    return found if to is None else found.where(Job.c.id <= to)


def _held(after: int | None) -> Select[int]:
    held = select(Job.c.id).where(Job.c.state == HELD).order_by(Job.c.id)
    return held if after is None else held.where(Job.c.id > after)
