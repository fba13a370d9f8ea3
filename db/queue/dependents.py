"""Jobs that wait for others: released when those have succeeded, cancelled when they cannot.

Settled in the transaction that ends the other. Rows are locked in the order of their ids (a job
needs only older ones), so that two that settle at once do not wait for each other.
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
    update,
)
from sqlalchemy.orm import aliased

from fornada.db.clock import now
from fornada.db.errors import JobNotFound
from fornada.db.queue.fences import HELD, unindexed
from fornada.db.queue.moves import UPKEEP, moved
from fornada.db.states import FINAL_STATES, LIVE_STATES, JobState, StopReason
from fornada.db.store.session import Database
from fornada.db.store.tables import Dependency, Job, UpkeepTurn

# Held jobs that a beat of upkeep looks at: all of them, at most sites, and in some milliseconds.
LOOKED_AT = 2000
# Ids of the jobs that were submitted to wait for one that is `needed`; built once.
WAITING_FOR = select(Dependency.job_id).where(Dependency.needs_id == bindparam("needed"))


def needs(connection: Connection, after: Iterable[int]) -> Sequence[Row[int, JobState]]:
    """Jobs that a new one is to wait for; none of them ends before this transaction does.

    Returns:
        Their ids and states.
    Raises:
        JobNotFound: one of them is none.
    """
    wanted = sorted(set(after))
    if not wanted:
        return []
    rows = select(Job.id, Job.state).where(Job.id.in_(wanted)).order_by(Job.id)
    found = connection.execute(rows.with_for_update(read=True)).all()
    missing = set(wanted) - {row.id for row in found}
    if missing:
        raise JobNotFound(min(missing))
    return found


def wait_for(connection: Connection, job_id: int, after: Iterable[int], any_end: bool) -> None:
    """Record what a new job waits for."""
    rows = [{"job_id": job_id, "needs_id": need, "any_end": any_end} for need in sorted(set(after))]
    if rows:
        connection.execute(insert(Dependency), rows)


def keep_needs(connection: Connection, job_id: int) -> None:
    """Let none of the jobs that a job waits for end before this transaction does."""
    after = select(Dependency.needs_id).where(Dependency.job_id == job_id)
    needs(connection, connection.scalars(after))


def unmet_of(connection: Connection, job_ids: Sequence[int]) -> dict[int, list[int]]:
    """Ids of the jobs that others still wait for, by the one that waits."""
    unmet: dict[int, list[int]] = {}
    if not job_ids:
        return unmet
    wanted = (
        select(Dependency.job_id, Dependency.needs_id)
        .join(Job, Job.id == Dependency.needs_id)
        .where(Dependency.job_id.in_(job_ids), Job.state.in_(sorted(LIVE_STATES)))
        .order_by(Dependency.job_id, Dependency.needs_id)
    )
    for job_id, needs_id in connection.execute(wanted):
        unmet.setdefault(job_id, []).append(needs_id)
    return unmet


def waive_failed(connection: Connection, job_id: int) -> list[int]:
    """No longer ask that jobs succeed which have ended otherwise; their ids."""
    failed = [need.id for need in _needs_of(connection, job_id) if _in_vain(need)]
    of_job = Dependency.job_id == job_id
    connection.execute(delete(Dependency).where(of_job, Dependency.needs_id.in_(failed)))
    return failed


def call_off(
    connection: Connection, job_id: int, state: JobState, actor: str, reason: str | None
) -> None:
    """Cancel a job that waits, in `state`, and is locked; who waits for it is not settled yet."""
    values = {
        "state": JobState.CANCELLED,
        "finished_at": now(),
        "stop_reason": StopReason.CANCELLED,
        "cancel_requested_at": now(),
        "cancel_requested_by": actor,
        "cancel_reason": reason,
    }
    connection.execute(update(Job).where(Job.id == job_id).values(values))
    detail = {"reason": reason} if reason else None
    moved(connection, job_id, (state, JobState.CANCELLED), actor, detail)


def settle(connection: Connection, ended: int) -> None:
    """Release or cancel whatever waited for a job that this transaction has ended."""
    waiting = [(job_id, ended) for job_id in _waiting_for(connection, ended)]
    heapq.heapify(waiting)
    while waiting:
        job_id, cause = heapq.heappop(waiting)
        if decide(connection, job_id, f"job {cause}") is JobState.CANCELLED:
            for dependent in _waiting_for(connection, job_id):
                heapq.heappush(waiting, (dependent, job_id))


def decide(connection: Connection, job_id: int, actor: str | None = None) -> JobState | None:
    """Release a job that waits, or cancel it, if its needs say so; its state then, or None.

    Args:
        actor: who is to have done it; None for the job that it waits for in vain.
    """
    locked = select(Job.held_by).where(Job.id == job_id, Job.state == HELD).with_for_update()
    job = connection.execute(locked).one_or_none()
    if job is None:
        return None
    # Read after the lock: of two needs that end at once, the later one sees the other.
    found = _needs_of(connection, job_id)
    for need in found:
        if _in_vain(need):
            reason = f"job {need.id}, which it waits for, has {_ended(need.state)}"
            call_off(connection, job_id, JobState.HELD, actor or f"job {need.id}", reason)
            return JobState.CANCELLED
    if job.held_by is not None or not all(need.state.final for need in found):
        return None
    after = [need.id for need in found]
    connection.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED))
    by = actor or f"job {job_id}"
    moved(connection, job_id, (JobState.HELD, JobState.QUEUED), by, {"after": after})
    return JobState.QUEUED


def release_due(database: Database, *, most: int = LOOKED_AT) -> list[int]:
    """Settle the jobs whose needs have ended while nobody settled them; a backstop.

    Args:
        most: how many held jobs it looks at; of more the next ones are the next call's.
    Returns:
        Ids of those that wait no longer.
    """
    with database.read() as connection:
        after = connection.scalar(select(UpkeepTurn.settled_to))
        to = connection.scalar(_held(after).offset(most - 1).limit(1))
        ids = list(connection.scalars(due(after, to)))
    if to != after:
        with database.begin() as connection:
            connection.execute(update(UpkeepTurn).values(settled_to=to))
    settled = []
    for job_id in ids:
        with database.begin() as connection:
            state = decide(connection, job_id, UPKEEP)
            if state is JobState.CANCELLED:
                settle(connection, job_id)
            if state is not None:
                settled.append(job_id)
    return settled


def _needs_of(connection: Connection, job_id: int) -> Sequence[Row[int, JobState, bool]]:
    wanted = (
        select(Job.id, Job.state, Dependency.any_end)
        .join(Dependency, Dependency.needs_id == Job.id)
        .where(Dependency.job_id == job_id)
        .order_by(Job.id)
    )
    return connection.execute(wanted).all()


def met(state: JobState, any_end: bool) -> bool:
    """Whether a job in this state is what another waited for."""
    return state.final if any_end else state is JobState.SUCCEEDED


def _in_vain(need: Row[int, JobState, bool]) -> bool:
    return bool(need.state.final and not met(need.state, need.any_end))


def _ended(state: JobState) -> str:
    return "been cancelled" if state is JobState.CANCELLED else str(state)


def _waiting_for(connection: Connection, job_id: int) -> Sequence[int]:
    """Ids of the jobs that were submitted to wait for a job."""
    return connection.scalars(WAITING_FOR, {"needed": job_id}).all()


def due(after: int | None, to: int | None) -> Select[int]:
    """Ids of held jobs whose needs have ended, from behind an id to another one; None: all."""
    need = aliased(Job)
    of_job = [Dependency.job_id == Job.id, need.id == Dependency.needs_id]
    # Counted: what only has to exist PostgreSQL would look for among all needs of all jobs.
    needs = select(func.count()).where(*of_job).correlate(Job)
    unfinished = needs.where(unindexed(need).in_(sorted(LIVE_STATES))).scalar_subquery()
    bad = [state for state in sorted(FINAL_STATES) if state is not JobState.SUCCEEDED]
    in_vain = needs.where(unindexed(need).in_(bad), Dependency.any_end.is_(False))
    met = and_(Job.held_by.is_(None), unfinished == 0)
    found = _held(after).where(or_(met, in_vain.scalar_subquery() > 0))
    return found if to is None else found.where(Job.id <= to)


def _held(after: int | None) -> Select[int]:
    held = select(Job.id).where(Job.state == HELD).order_by(Job.id)
    return held if after is None else held.where(Job.id > after)
