"""Pages of history: a late page costs as much as the first one, because each page starts at a key.

Two queries read a page, and each one reads along an index: first the jobs that have the value of
the sort order, then the jobs without it. When a filter leaves few jobs, they are looked up and
sorted instead, because reading along the index would pass all other jobs.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, select, tuple_

from fornada.db.answers import HistoryAnswer
from fornada.db.errors import BadCursor
from fornada.db.names import composed
from fornada.db.reads import recorded_specs
from fornada.db.reads.documents import best_of, failure_of, metrics_of, tags_of
from fornada.db.reads.matching import like
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, JobTag, MetricSummary
from fornada.db.timestamps import iso

TIME, DURATION, METRIC = "time", "duration", "metric:"
# Up to this many jobs are looked up and sorted. That is faster than reading along an index past all
# the jobs that do not match.
FEW = 1000


@dataclass(frozen=True)
class Page:
    """One page of jobs.

    Args:
        rows: the jobs, each a dict.
        next: the cursor of the next page; None on the last page.
    """

    rows: list[HistoryAnswer]
    next: str | None


@dataclass(frozen=True)
class Sorting:
    """The sort order of the jobs."""

    # `time`, `duration` or `metric:NAME`.
    sort: str = TIME
    descending: bool = True

    @property
    def value(self) -> ColumnElement[Any] | None:
        """The column to sort by before the id; None for `time`, because ids are in that order.

        For a metric: each job's best value, whichever job comes first.
        """
        if self.sort == TIME:
            return None
        if self.sort == DURATION:
            return Job.c.duration_s
        columns = MetricSummary.c
        return columns.max if begins_with_greatest(self.sort) else columns.min

    @property
    def metric(self) -> str | None:
        """The metric's name; None for another sort order."""
        return self.sort.removeprefix(METRIC) if self.sort.startswith(METRIC) else None


# (value, id) of the last row of a page. The value is None when the job has none.
Cursor = tuple[float | None, int]


def page(  # noqa: PLR0913 - filters of one command
    database: Database,
    *,
    states: Sequence[JobState] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    since: datetime | None = None,
    sort: str = TIME,
    descending: bool | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """Read one page of jobs.

    Args:
        database: where the jobs are.
        states: only jobs in these states; None or empty for all.
        tags: only jobs that have all these tags.
        name: only jobs with this name; `*` stands for any text.
        since: only jobs submitted at or after this time, which has a time zone.
        sort: `time` of submission, `duration`, or `metric:NAME`: each job's best value of the
            metric. Jobs without such a value come last, the latest first.
        descending: the latest, longest or greatest first; None: as `begins_with_greatest` says.
        after: the cursor of the page before; None for the first page.
        limit: rows at most, 1 or more.
    Raises:
        ValueError: there is no such sort order.
        BadCursor: `after` is not a cursor, or belongs to another sort order.
    """
    order = Sorting(sort, begins_with_greatest(sort) if descending is None else descending)
    if sort not in (TIME, DURATION) and not order.metric:
        raise ValueError(f"sort {sort!r}: expected time, duration or metric:NAME")
    wanted = filters(states, tags, name, since)
    cursor = _decoded(after, order) if after else None
    with database.read() as connection:
        few = None if order.sort == TIME and not tags else _few(connection, states, tags, name)
        wanted += [] if few is None else [Job.c.id.in_(few)]
        queries = with_value(order, cursor, few), without_value(order, cursor)
        # One row more than asked for, to know whether there is another page.
        found = _read(connection, queries, wanted, limit + 1)
        rows = _rows(connection, [row for _, row in found[:limit]])
    last = found[limit - 1] if len(found) > limit else None
    return Page(rows, _encoded(order, (last[0], last[1].id)) if last else None)


def begins_with_greatest(sort: str) -> bool:
    """Whether a sort order begins with the greatest value if nobody says how to sort.

    The latest job comes first, the longest, and the best value of a metric: of a loss the lowest,
    of every other metric that a spec may name the highest.
    """
    return sort.removeprefix(METRIC).removeprefix("val_") != "loss"


def with_value(
    order: Sorting, cursor: Cursor | None, few: Sequence[int] | None = None
) -> Select[Any] | None:
    """The query for jobs that have the value of the sort order, in order, after the cursor.

    Args:
        order: the sort order.
        cursor: the last row of the page before; None for the first page.
        few: ids of the jobs that match one of the filters; None when each filter matches many.
    Returns:
        None when the page before has already ended behind these jobs.
    """
    value, job_id = order.value, Job.c.id
    if value is None:
        query = select(Job).order_by(_directed(job_id, order.descending))
        return query if cursor is None else query.where(_past(order, (job_id,), cursor[1:]))
    if cursor is not None and cursor[0] is None:
        return None
    if order.metric and few is not None:
        # Look up the value of each job, and do not read along the values of all jobs.
        value = select(value).where(*_of_job(order)).scalar_subquery()
    chosen = select(*Job.c, value.label("sorted")).where(value.is_not(None))
    if order.metric and few is None:
        # Sort by the id in the index of the metric, so that this index gives value and id in order.
        job_id = MetricSummary.c.job_id
        joined = chosen.join(MetricSummary, Job.c.id == job_id)
        chosen = joined.where(MetricSummary.c.name == order.metric)
    keys = (value, job_id)
    query = chosen.order_by(*(_directed(key, order.descending) for key in keys))
    return query if cursor is None else query.where(_past(order, keys, cursor))


def without_value(order: Sorting, cursor: Cursor | None) -> Select[Any] | None:
    """The query for jobs without the value of the sort order, latest first, after the cursor.

    Returns:
        None for the order by time, which every job has.
    """
    value = order.value
    if value is None:
        return None
    lacks: ColumnElement[bool] = value.is_(None)
    if order.metric:
        lacks = ~exists().where(*_of_job(order), value.is_not(None))
    # The value is null in all these rows. Sorting by it changes nothing, but lets the planner use
    # the index.
    keys = [Job.c.id.desc()] if order.metric else [value.desc(), Job.c.id.desc()]
    query = select(Job).where(lacks).order_by(*keys)
    cursor_is_here = cursor is not None and cursor[0] is None
    return query.where(Job.c.id < cursor[1]) if cursor and cursor_is_here else query


def _of_job(order: Sorting) -> tuple[ColumnElement[bool], ...]:
    return MetricSummary.c.job_id == Job.c.id, MetricSummary.c.name == order.metric


def _read(
    connection: Connection,
    queries: Sequence[Select[Any] | None],
    filters: Sequence[ColumnElement[bool]],
    limit: int,
) -> list[tuple[float | None, Row[Any]]]:
    """Run the queries in order, up to `limit` rows: pairs of (value of the sort order, job)."""
    found: list[tuple[float | None, Row[Any]]] = []
    for query in queries:
        if query is None or len(found) >= limit:
            continue
        limited = query.where(*filters).limit(limit - len(found))
        rows = connection.execute(limited)
        found += [(row._mapping.get("sorted"), row) for row in rows]
    return found


def _few(
    connection: Connection,
    states: Sequence[JobState] | None,
    tags: Mapping[str, str] | None,
    name: str | None,
) -> Sequence[int] | None:
    """Ids of the jobs that match the first filter with at most `FEW` matches.

    Returns:
        None if every filter has more matches, and if there is no filter.
    """
    queries = [
        select(JobTag.c.job_id).where(*_is(tag, value)) for tag, value in (tags or {}).items()
    ]
    whole = composed(name) if name and "*" not in name else None
    queries += [select(Job.c.id).where(Job.c.name == whole)] if whole else []
    queries += [select(Job.c.id).where(Job.c.state.in_(states))] if states else []
    for query in queries:
        ids = connection.scalars(query.limit(FEW + 1)).all()
        if len(ids) <= FEW:
            return ids
    return None


def _directed(key: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    return key.desc() if descending else key.asc()


def _past(
    order: Sorting, keys: Sequence[ColumnElement[Any]], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Whether a row comes after the row with these values."""
    row, last = tuple_(*keys), tuple_(*values)
    return row < last if order.descending else row > last


def filters(
    states: Sequence[JobState] | None = None,
    tags: Mapping[str, str] | None = None,
    name: str | None = None,
    since: datetime | None = None,
) -> list[ColumnElement[bool]]:
    """The conditions for the filters of `page`."""
    found: list[ColumnElement[bool]] = []
    name = name and composed(name)
    if states:
        found.append(Job.c.state.in_(states))
    if name and "*" in name:
        found.append(like(Job.c.name, name))
    elif name:
        found.append(Job.c.name == name)
    if since:
        found.append(Job.c.submitted_at >= since)
    for tag, value in (tags or {}).items():
        found.append(exists().where(JobTag.c.job_id == Job.c.id, *_is(tag, value)))
    return found


def _is(tag: str, value: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The conditions for a tag. Earlier versions stored values as they were written."""
    values = list(dict.fromkeys((composed(value), value)))
    return JobTag.c.name == composed(tag), JobTag.c.value.in_(values)


def _rows(connection: Connection, found: Sequence[Row[Any]]) -> list[HistoryAnswer]:
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
            "epochs": recorded_specs.epochs(row.spec),
            "stop_reason": row.stop_reason,
            "monitor": row.monitor,
            "best": best_of(row),
            "metrics": metrics.get(row.id, {}),
            "failure": failure_of(row),
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
