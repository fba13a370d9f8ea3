"""Queues: people can pause a queue, and limit how many of its jobs run at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    bindparam,
    func,
    select,
    union,
)

from fornada.db.answers import QueueAnswer
from fornada.db.clock import now
from fornada.db.queue.fences import RUNNING, queued
from fornada.db.queue.workers import heard_of
from fornada.db.records import WorkerProcess
from fornada.db.states import LIVE_STATES, JobState
from fornada.db.store.locks import LockHeld, lock_within
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, Queue
from fornada.db.store.upsert import insert_for
from fornada.db.timestamps import iso

# Built only once: see `fornada.db.queue.fences`.
_RULES = select(Queue.c.name, Queue.c.paused, Queue.c.max_running).where(
    Queue.c.name.in_(bindparam("names", expanding=True))
)

# Seconds that a claim waits for the row of a limited queue. Other claims hold it for milliseconds.
CLAIM_S = 1.0


@dataclass(frozen=True)
class Served:
    """The queues of a slot from which a job may start now."""

    names: tuple[str, ...]
    # The queues among `names` that have a limit. The limit is not reached yet.
    limited: frozenset[str]

    def without(self, name: str) -> "Served":
        """The same queues without one."""
        names = tuple(other for other in self.names if other != name)
        return Served(names, self.limited - {name})


def room(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many more jobs may start, for each queue that has a limit or is paused."""
    if not names:
        return {}
    rules = connection.execute(_RULES, {"names": list(names)}).all()
    limits = {rule.name: rule.max_running for rule in rules if rule.max_running is not None}
    running = running_in(connection, sorted(limits)) if limits else {}
    free = {name: max(0, limit - running.get(name, 0)) for name, limit in limits.items()}
    return free | {rule.name: 0 for rule in rules if rule.paused}


def served(connection: Connection, names: Sequence[str]) -> Served:
    """Leave out the queues that are paused or full."""
    free = room(connection, names)
    return Served(
        tuple(name for name in names if free.get(name, 1) > 0),
        frozenset(name for name, more in free.items() if more > 0),
    )


def overfull(connection: Connection, name: str) -> bool:
    """Whether more jobs of a queue run than its limit allows, with the job that was just claimed.

    The queue's row is locked until the claim commits, so claims from a limited queue take turns. If
    somebody keeps the row locked for longer than claims do, nobody can tell. Then the queue counts
    as overfull, so that the slot can go on with its other queues.

    If it is, the caller must roll back to a savepoint from before the claim.
    """
    rule = select(Queue.c.max_running).where(Queue.c.name == name).with_for_update()
    try:
        with lock_within(connection, CLAIM_S):
            limit = connection.scalar(rule)
    except LockHeld:
        return True
    return limit is not None and running_in(connection, [name]).get(name, 0) > limit


def waiting() -> CompoundSelect[str]:
    """Names of the queues that have queued jobs, each name once."""
    return union(_names(Job.c.not_before.is_(None)), _names(Job.c.not_before.is_not(None)))


def _names(which: ColumnElement[bool]) -> Select[str]:
    """Names of the queues that have such queued jobs.

    A recursive query jumps from each name to the next one, with one index look-up for each queue.
    """
    first = select(Job.c.queue).where(queued(), which).order_by(Job.c.queue).limit(1)
    names = select(first.scalar_subquery().label("name")).cte(recursive=True)
    following = first.where(Job.c.queue > names.c.name).scalar_subquery()
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return select(names.c.name).where(names.c.name.is_not(None))


def running_in(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many jobs run, by queue, without the queues in which no job runs."""
    counted = select(Job.c.queue, func.count()).where(
        Job.c.state == RUNNING, Job.c.queue.in_(names)
    )
    return dict(connection.execute(counted.group_by(Job.c.queue)).all())


def ls(
    database: Database, within_s: float, dead: Collection[WorkerProcess] = ()
) -> list[QueueAnswer]:
    """Every queue that has a row, live jobs, or a worker that serves it.

    Args:
        database: where to look.
        within_s: workers count as alive if they were seen within this many seconds.
        dead: workers that are known to have ended.
    Returns:
        One document for each queue, sorted by name.
    """
    with database.read() as connection:
        rules = {rule.name: rule for rule in connection.execute(select(Queue))}
        counts = _counts(connection)
        workers = heard_of(connection, within_s, dead)
    serving = [name for worker in workers for name in worker.queues]
    names = {*rules, *serving, *(queue for queue, _ in counts)}
    return [
        {
            "name": name,
            "paused": name in rules and rules[name].paused,
            "max_running": rules[name].max_running if name in rules else None,
            "queued": counts.get((name, JobState.QUEUED), 0),
            "held": counts.get((name, JobState.HELD), 0),
            "running": counts.get((name, JobState.RUNNING), 0),
            "workers": serving.count(name),
            "changed_at": iso(rules[name].changed_at) if name in rules else None,
            "changed_by": rules[name].changed_by if name in rules else None,
        }
        for name in sorted(names)
    ]


def pause(database: Database, name: str, actor: str) -> None:
    """Let no job of a queue start. Running jobs continue."""
    _write(database, name, actor, paused=True)


def resume(database: Database, name: str, actor: str) -> None:
    """Let the jobs of a queue start again."""
    _write(database, name, actor, paused=False)


def set_max_running(database: Database, name: str, count: int | None, actor: str) -> None:
    """Limit how many jobs of a queue run at once. Running jobs continue, also above the limit.

    Args:
        database: where the queue is.
        name: the queue.
        count: 1 or more; None removes the limit.
        actor: who sets it.
    Raises:
        ValueError: `count` is less than 1.
    """
    if count is not None and count < 1:
        raise ValueError(
            f"max_running is {count}: expected 1 or more; to start no job, pause the queue"
        )
    _write(database, name, actor, max_running=count)


def _counts(connection: Connection) -> dict[tuple[str, JobState], int]:
    counted = select(Job.c.queue, Job.c.state, func.count()).where(
        Job.c.state.in_(sorted(LIVE_STATES))
    )
    rows = connection.execute(counted.group_by(Job.c.queue, Job.c.state))
    return {(queue, state): count for queue, state, count in rows}


def _write(database: Database, name: str, actor: str, **values: Any) -> None:
    changed = values | {"changed_at": now(), "changed_by": actor}
    new = {"name": name, "paused": False, "max_running": None} | changed
    with database.begin() as connection:
        connection.execute(
            insert_for(connection.dialect.name, Queue)
            .values(new)
            .on_conflict_do_update(index_elements=["name"], set_=changed)
        )
