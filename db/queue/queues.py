"""What people decide about a queue: whether its jobs start, and how many run at once."""

from collections.abc import Sequence
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

from fornada.db.clock import now
from fornada.db.queue.fences import RUNNING, queued
from fornada.db.queue.workers import heard_of
from fornada.db.states import LIVE_STATES, JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, Queue
from fornada.db.store.upsert import insert_for
from fornada.db.timestamps import iso

# Built once, as the statements of `fornada.db.queue.fences` are.
_RULES = select(Queue.name, Queue.paused, Queue.max_running).where(
    Queue.name.in_(bindparam("names", expanding=True))
)


@dataclass(frozen=True)
class Served:
    """Queues that a job could be claimed from now."""

    names: tuple[str, ...]
    # Those of them with a limit that has not been reached.
    limited: frozenset[str]

    def without(self, name: str) -> "Served":
        """All others."""
        names = tuple(each for each in self.names if each != name)
        return Served(names, self.limited - {name})


def room(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many more jobs may start, by queue; queues without a limit are left out."""
    if not names:
        return {}
    rules = connection.execute(_RULES, {"names": list(names)}).all()
    limits = {rule.name: rule.max_running for rule in rules if rule.max_running is not None}
    running = running_in(connection, sorted(limits)) if limits else {}
    free = {name: max(0, most - running.get(name, 0)) for name, most in limits.items()}
    return free | {rule.name: 0 for rule in rules if rule.paused}


def served(connection: Connection, names: Sequence[str]) -> Served:
    """Those of some queues that are neither paused nor full."""
    limits = room(connection, names)
    return Served(
        tuple(name for name in names if limits.get(name, 1) > 0),
        frozenset(name for name, more in limits.items() if more > 0),
    )


def overfull(connection: Connection, name: str) -> bool:
    """Whether more jobs of a queue run than may, the one that was just claimed among them.

    Claims of one queue that has a limit take turns here, each until it is committed.
    """
    locked = select(Queue.max_running).where(Queue.name == name).with_for_update()
    most = connection.scalar(locked)
    return most is not None and running_in(connection, [name]).get(name, 0) > most


def waiting() -> CompoundSelect[str]:
    """Names of the queues that have queued jobs, each once."""
    return union(_names(Job.not_before.is_(None)), _names(Job.not_before.is_not(None)))


def _names(which: ColumnElement[bool]) -> Select[str]:
    """Of the queues that have such jobs: for each one step along an index."""
    first = select(Job.queue).where(queued(), which).order_by(Job.queue).limit(1)
    names = select(first.scalar_subquery().label("name")).cte(recursive=True)
    following = first.where(Job.queue > names.c.name).scalar_subquery()
    names = names.union_all(select(following).where(names.c.name.is_not(None)))
    return select(names.c.name).where(names.c.name.is_not(None))


def running_in(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many jobs run, by queue; those without any are left out."""
    counted = select(Job.queue, func.count()).where(Job.state == RUNNING, Job.queue.in_(names))
    return dict(connection.execute(counted.group_by(Job.queue)).all())


def ls(database: Database, within_s: float) -> list[dict[str, Any]]:
    """Every queue that somebody decided about, that has live jobs, or that a worker serves.

    Args:
        within_s: how long ago a worker may last have been heard of.
    Returns:
        Of each, by name: name, paused, max_running, queued, held, running, workers, changed_at,
        changed_by.
    """
    with database.read() as connection:
        rules = {rule.name: rule for rule in connection.execute(select(*Queue.__table__.c))}
        counts = _counts(connection)
        workers = heard_of(connection, within_s)
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
    """Let no job of a queue start; those that run go on."""
    _write(database, name, actor, paused=True)


def resume(database: Database, name: str, actor: str) -> None:
    """Let the jobs of a queue start again."""
    _write(database, name, actor, paused=False)


def set_max_running(database: Database, name: str, count: int | None, actor: str) -> None:
    """Limit how many jobs of a queue run at once; those that run go on.

    Args:
        count: 1 or more; None for as many as there are slots.
    Raises:
        ValueError: it is less.
    """
    if count is not None and count < 1:
        raise ValueError(f"max_running is {count}: expected 1 or more; to start none, pause it")
    _write(database, name, actor, max_running=count)


def _counts(connection: Connection) -> dict[tuple[str, JobState], int]:
    counted = select(Job.queue, Job.state, func.count()).where(Job.state.in_(sorted(LIVE_STATES)))
    rows = connection.execute(counted.group_by(Job.queue, Job.state))
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
