"""Pages of history by key: a page costs the same however deep it lies.

A page is read in two walks along an index: jobs that have the sorted value, then those without.
Where a filter leaves few jobs, those are looked up and sorted: to walk would be to pass all others.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, select, tuple_

from fornada.db.errors import BadCursor
from fornada.db.reads.documents import best_of, metrics_of, tags_of
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, JobTag, MetricSummary
from fornada.db.timestamps import iso

TIME, DURATION, METRIC = "time", "duration", "metric:"
# So many are sorted in less time than an index is walked past all that does not fit.
FEW = 1000


@dataclass(frozen=True)
class Page:
    """Some rows, and the cursor of the page after; None when this is the last."""

    rows: list[dict[str, Any]]
    next: str | None


@dataclass(frozen=True)
class Sorting:
    """By which value, `time`, `duration` or `metric:NAME`, and which way."""

    sort: str = TIME
    descending: bool = True

    @property
    def value(self) -> ColumnElement[Any] | None:
        """What is sorted by before the id; None by time, which is the id's own order.

        A metric's best: the greatest values first means each job's greatest, and the other way.
        """
        if self.sort == TIME:
            return None
        if self.sort == DURATION:
            return Job.__table__.c.duration_s
        columns = MetricSummary.__table__.c
        return columns.max if self.descending else columns.min

    @property
    def metric(self) -> str | None:
        """The metric's name, when sorted by one."""
        return self.sort.removeprefix(METRIC) if self.sort.startswith(METRIC) else None


# The last row's value, None where it had none, and its id.
Cursor = tuple[float | None, int]


def page(  # noqa: PLR0913 - filters of one command
    database: Database,
    *,
    states: Sequence[JobState] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    since: datetime | None = None,
    sort: str = TIME,
    descending: bool = True,
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """One page of jobs.

    Args:
        states: only these; None or empty for all.
        tags: only jobs that carry all of these.
        name: only jobs of this name; `*` stands for anything.
        since: only jobs submitted at or after it; aware.
        sort: `time` of submission, `duration`, or `metric:NAME`: each job's greatest value of
            the metric when descending, its smallest when ascending. Jobs without come last,
            latest first.
        descending: the latest, longest or greatest first.
        after: the cursor of the page before.
        limit: rows at most, 1 or more.
    Raises:
        ValueError: no such sort.
        BadCursor: the cursor is none, or another sort's.
    """
    order = Sorting(sort, descending)
    if sort not in (TIME, DURATION) and not order.metric:
        raise ValueError(f"sort {sort!r}: expected time, duration or metric:NAME")
    wanted = filters(states, tags, name, since)
    cursor = _decoded(after, order) if after else None
    with database.read() as connection:
        # One more than asked for tells whether there is a page after.
        few = None if order.sort == TIME and not tags else _few(connection, states, tags, name)
        wanted += [] if few is None else [Job.id.in_(few)]
        walks = with_value(order, cursor, few), without_value(order, cursor)
        found = _walk(connection, walks, wanted, limit + 1)
        rows = _rows(connection, [row for _, row in found[:limit]])
    last = found[limit - 1] if len(found) > limit else None
    return Page(rows, _encoded(order, (last[0], last[1].id)) if last else None)


def with_value(
    order: Sorting, cursor: Cursor | None, few: Sequence[int] | None = None
) -> Select[Any] | None:
    """Jobs that have the sorted value, in order, after the cursor; None when it is past them.

    Args:
        few: ids of the only ones that are asked for; None without such a list.
    """
    value, job_id = order.value, Job.__table__.c.id
    if value is None:
        walked = select(*Job.__table__.c).order_by(_towards(job_id, order.descending))
        return walked if cursor is None else walked.where(_past(order, (job_id,), cursor[1:]))
    if cursor is not None and cursor[0] is None:
        return None
    if order.metric and few is not None:
        # Of each job its own; never a walk along the values of all.
        value = select(value).where(*_of_job(order)).scalar_subquery()
    chosen = select(*Job.__table__.c, value.label("sorted")).where(value.is_not(None))
    if order.metric and few is None:
        # The id of the same index as the value, so that one walk yields both in order.
        job_id = MetricSummary.__table__.c.job_id
        joined = chosen.join(MetricSummary, Job.id == job_id)
        chosen = joined.where(MetricSummary.name == order.metric)
    keys = (value, job_id)
    walked = chosen.order_by(*(_towards(key, order.descending) for key in keys))
    return walked if cursor is None else walked.where(_past(order, keys, cursor))


def without_value(order: Sorting, cursor: Cursor | None) -> Select[Any] | None:
    """Jobs that lack the sorted value, latest first, after the cursor; None by time."""
    value = order.value
    if value is None:
        return None
    lacks: ColumnElement[bool] = value.is_(None)
    if order.metric:
        lacks = ~exists().where(*_of_job(order), value.is_not(None))
    # To order by what is null everywhere changes nothing, but names the index.
    keys = [Job.id.desc()] if order.metric else [value.desc(), Job.id.desc()]
    walked = select(*Job.__table__.c).where(lacks).order_by(*keys)
    behind = cursor is not None and cursor[0] is None
    return walked.where(Job.id < cursor[1]) if cursor and behind else walked


def _of_job(order: Sorting) -> tuple[ColumnElement[bool], ...]:
    return MetricSummary.job_id == Job.id, MetricSummary.name == order.metric


def _walk(
    connection: Connection,
    walks: Sequence[Select[Any] | None],
    filters: Sequence[ColumnElement[bool]],
    limit: int,
) -> list[tuple[float | None, Row[Any]]]:
    found: list[tuple[float | None, Row[Any]]] = []
    for walk in walks:
        if walk is None or len(found) >= limit:
            continue
        limited = walk.where(*filters).limit(limit - len(found))
        rows = connection.execute(limited)
        found += [(row._mapping.get("sorted"), row) for row in rows]
    return found


def _few(
    connection: Connection,
    states: Sequence[JobState] | None,
    tags: Mapping[str, str] | None,
    name: str | None,
) -> Sequence[int] | None:
    """The jobs that one of the filters leaves, where it is so few; None where each leaves more."""
    walks = [
        select(JobTag.job_id).where(JobTag.name == tag, JobTag.value == value)
        for tag, value in (tags or {}).items()
    ]
    walks += [select(Job.id).where(Job.name == name)] if name and "*" not in name else []
    walks += [select(Job.id).where(Job.state.in_(states))] if states else []
    for walk in walks:
        ids = connection.scalars(walk.limit(FEW + 1)).all()
        if len(ids) <= FEW:
            return ids
    return None


def _towards(key: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    return key.desc() if descending else key.asc()


def _past(
    order: Sorting, keys: Sequence[ColumnElement[Any]], values: Sequence[Any]
) -> ColumnElement[bool]:
    here, there = tuple_(*keys), tuple_(*values)
    return here < there if order.descending else here > there


def filters(
    states: Sequence[JobState] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    since: datetime | None = None,
) -> list[ColumnElement[bool]]:
    """What only the jobs that `page` is asked for have."""
    found: list[ColumnElement[bool]] = []
    if states:
        found.append(Job.state.in_(states))
    if name and "*" in name:
        pattern = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        found.append(Job.name.like(pattern.replace("*", "%"), escape="\\"))
    elif name:
        found.append(Job.name == name)
    if since:
        found.append(Job.submitted_at >= since)
    for tag, value in (tags or {}).items():
        carries = [JobTag.job_id == Job.id, JobTag.name == tag, JobTag.value == value]
        found.append(exists().where(*carries))
    return found


def _rows(connection: Connection, found: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    ids = [row.id for row in found]
    tags, metrics = tags_of(connection, ids), metrics_of(connection, ids)
    return [
        {
            "id": row.id,
            "uid": row.uid,
            "name": row.name,
            "state": row.state,
            "queue": row.queue,
            "priority": row.priority,
            "user": row.user,
            "tags": tags.get(row.id, {}),
            "submitted_at": iso(row.submitted_at),
            "started_at": iso(row.started_at),
            "finished_at": iso(row.finished_at),
            "duration_s": row.duration_s,
            "attempts": row.attempt,
            "epochs_run": row.epochs_run,
            "epochs": row.spec.get("fit", {}).get("epochs"),
            "stop_reason": row.stop_reason,
            "monitor": row.monitor,
            "best": best_of(row),
            "metrics": metrics.get(row.id, {}),
            "failure": row.failure_code
            and {"code": row.failure_code, "message": row.failure_message},
        }
        for row in found
    ]


def _encoded(order: Sorting, cursor: Cursor) -> str:
    text = json.dumps([order.sort, order.descending, *cursor])
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(cursor: str, order: Sorting) -> Cursor:
    try:
        given = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise BadCursor(cursor, order.sort) from None
    match given:
        case [order.sort, order.descending, int() | float() | None as value, int(job_id)]:
            return value, job_id
    raise BadCursor(cursor, order.sort)
