"""Pages of history: sorted, filtered, and stable while jobs are added."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest

from fornada.db.answers import HistoryAnswer
from fornada.db.errors import BadCursor
from fornada.db.queue import attempts, verdicts
from fornada.db.reads import documents, pages
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.services import store

ORDERS = [
    (sort, descending)
    for sort in ("time", "duration", "metric:val_loss")
    for descending in (True, False)
]


def fill(database: Database) -> None:
    """Add seven ended jobs, some with equal values and some without, and four waiting jobs."""
    from sqlalchemy import update

    from fornada.db.store.tables import Job

    # Jobs with equal values are sorted by id. The third job has only NaN, the last one no epoch.
    for number, loss in enumerate((0.5, 0.3, "NaN", 0.3, 0.9, 0.5, None)):
        parity = str(number % 2)
        fence = store.running(database, tags={"parity": parity}, name=f"parity-{parity}")
        if loss is not None:
            attempts.record_epochs(
                database,
                fence,
                [store.epoch(1, val_loss=loss), store.epoch(2, val_loss=loss, extra=1.0)],
            )
        verdicts.finish(database, fence, store.FAILED if number == 4 else store.SUCCEEDED)
        with database.begin() as connection:
            ended = update(Job).where(Job.c.id == fence.job_id)
            connection.execute(ended.values(duration_s=float(number % 3)))
    for _ in range(4):
        store.add(database, queue="later")


def walk(
    database: Database,
    size: int,
    between: Callable[[], object] = lambda: None,
    **asked: Any,
) -> list[HistoryAnswer]:
    """Read all rows page by page, and call `between` after each page."""
    rows: list[HistoryAnswer] = []
    after = None
    while True:
        page = pages.page(database, after=after, limit=size, **asked)
        assert len(page.rows) == size or page.next is None
        rows += page.rows
        if page.next is None:
            return rows
        after = page.next
        between()


def key(row: HistoryAnswer, sort: str, descending: bool) -> tuple[bool, float, int]:
    """The sort key of a row. Rows without a value come last, the latest first."""
    sign = -1 if descending else 1
    value: Any
    if sort == "time":
        return (False, 0, sign * row["id"])
    if sort == "duration":
        value = row["duration_s"]
    else:
        found = dict(row["metrics"].get("val_loss", {}))
        # A job's best value sorts it, also when the worst job comes first.
        value = found.get("min")
    if value is None:
        return (True, 0, -row["id"])
    return (False, sign * value, sign * row["id"])


@pytest.mark.parametrize(("sort", "descending"), ORDERS)
@pytest.mark.parametrize("size", [1, 3, 11, 50])
def test_pages_equal_a_full_sort(
    database: Database, sort: str, descending: bool, size: int
) -> None:
    fill(database)
    everything = pages.page(database, limit=100).rows
    expected = sorted(everything, key=lambda row: key(row, sort, descending))
    assert walk(database, size, sort=sort, descending=descending) == expected
    assert len(expected) == 11


@pytest.mark.parametrize(("sort", "descending"), ORDERS)
def test_pages_are_the_same_when_few_jobs_are_looked_up_first(
    database: Database, sort: str, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)
    rows = walk(database, 50)
    filters: list[dict[str, Any]] = [
        {"tags": {"parity": "1"}},
        {"states": [JobState.SUCCEEDED]},
        {"name": "parity-1"},
    ]
    for asked, few in product(filters, (0, 1000)):
        monkeypatch.setattr(pages, "FEW", few)
        fits = {row["id"] for row in walk(database, 50, **asked)}
        assert 2 < len(fits) < len(rows)
        wanted = sorted(
            (row for row in rows if row["id"] in fits),
            key=lambda row: key(row, sort, descending),
        )
        found = walk(database, 2, sort=sort, descending=descending, **asked)
        assert [row["id"] for row in found] == [row["id"] for row in wanted], (asked, few)


@pytest.mark.parametrize(("sort", "descending"), ORDERS)
def test_jobs_added_between_pages_change_no_later_page(
    database: Database, sort: str, descending: bool
) -> None:
    fill(database)
    before = [row["id"] for row in walk(database, 100, sort=sort, descending=descending)]

    added: list[int] = []

    def add_another() -> None:
        if len(added) < 3:
            added.append(store.add(database))

    rows = walk(database, 2, between=add_another, sort=sort, descending=descending)
    ids = [row["id"] for row in rows]
    assert added
    assert len(set(ids)) == len(ids)
    assert [job_id for job_id in ids if job_id not in added] == before


def test_a_page_says_whether_there_is_another(database: Database) -> None:
    for _ in range(4):
        store.add(database)
    assert pages.page(database, limit=4).next is None
    assert pages.page(database, limit=3).next is not None


def test_filters(database: Database) -> None:
    fill(database)

    def ids(**asked: Any) -> list[int]:
        return [row["id"] for row in walk(database, 2, descending=False, **asked)]

    assert ids(states=[JobState.SUCCEEDED]) == [1, 2, 3, 4, 6, 7]
    assert ids(states=[JobState.FAILED, JobState.QUEUED]) == [5, 8, 9, 10, 11]
    assert ids(states=[]) == list(range(1, 12))
    assert ids(tags={"parity": "1"}) == [2, 4, 6]
    assert ids(tags={"parity": "1", "other": "x"}) == []
    assert ids(tags={"parity": "0"}, states=[JobState.FAILED]) == [5]
    assert ids(tags={"parity": "1"}, sort="metric:val_loss") == [2, 4, 6]
    assert ids(states=[JobState.QUEUED], sort="metric:val_loss") == [11, 10, 9, 8]
    assert ids(sort="metric:extra")[:6] == [1, 2, 3, 4, 5, 6]


def test_filter_by_name(database: Database) -> None:
    names = ["digits", "digits-2", "100%", "a_b", "axb", "[ab]", "a?b", "a\\b"]
    ids = {name: store.add(database, name=name) for name in names}

    def named(name: str) -> list[str]:
        found = pages.page(database, name=name, descending=False).rows
        assert all(ids[row["name"]] == row["id"] for row in found)
        return [row["name"] for row in found]

    assert named("digits") == ["digits"]
    assert named("digits*") == ["digits", "digits-2"]
    assert named("*2") == ["digits-2"]
    assert named("a_*") == ["a_b"]
    assert named("100%*") == ["100%"]
    assert named("[ab*") == ["[ab]"]
    assert named("a?*") == ["a?b"]
    assert named("a\\*") == ["a\\b"]
    assert named("*") == names
    assert named("nobody") == []
    # On both databases case counts, with and without a star.
    assert named("Digits") == named("Digits*") == []


def test_names_and_tags_are_compared_in_one_form(database: Database) -> None:
    composed, decomposed = "été 🐱", "e\u0301te\u0301 🐱"
    job_id = store.add(database, name="été", tags={"café": composed})
    # As an earlier version stored it.
    earlier = store.add(database, name="earlier", tags={"note": decomposed})

    def found(**asked: Any) -> list[int]:
        return [row["id"] for row in pages.page(database, **asked).rows]

    for name in ("été", "e\u0301te\u0301", "e\u0301t*", "*té"):
        assert found(name=name) == [job_id]
    for tags in ({"café": composed}, {"cafe\u0301": decomposed}):
        assert found(tags=tags) == found(tags=tags, sort="duration") == [job_id]
    assert found(tags={"note": decomposed}) == [earlier]


def test_filter_by_time(database: Database) -> None:
    from sqlalchemy import update

    from fornada.db.clock import later, now
    from fornada.db.store.tables import Job

    old, new = store.add(database), store.add(database)
    with database.begin() as connection:
        hours = later(now(), -7200)
        connection.execute(update(Job).where(Job.c.id == old).values(submitted_at=hours))
    since = datetime.now(UTC) - timedelta(hours=1)
    assert [row["id"] for row in pages.page(database, since=since).rows] == [new]
    # The same moment in another time zone.
    west = since.astimezone(timezone(timedelta(hours=-3)))
    assert [row["id"] for row in pages.page(database, since=west).rows] == [new]


def test_a_row_has_the_values_of_the_jobs_document(database: Database) -> None:
    fence = store.running(database, name="digits", tags={"a": "1"})
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5), val_loss=0.5)])
    verdicts.finish(database, fence, store.FAILED)
    (row,) = map(dict, pages.page(database).rows)
    shown = dict(documents.job(database, fence.job_id))
    for name in row.keys() - {"epochs", "best", "failure"}:
        assert row[name] == shown[name], name
    assert row["epochs"] == 3
    assert row["best"] == shown["best"]
    assert row["failure"] == {"code": "DIVERGED", "message": "loss is NaN in epoch 2"}


@pytest.mark.parametrize("cursor", ["x", "!!!!", "W10", "bnVsbA", "eyJhIjogMX0"])
def test_text_that_is_not_a_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(BadCursor, match="sorted by time"):
        pages.page(database, after=cursor)


def test_a_cursor_of_another_sort_order_is_refused(database: Database) -> None:
    store.add(database)
    store.add(database)
    cursor = pages.page(database, limit=1).next
    assert cursor is not None
    with pytest.raises(BadCursor):
        pages.page(database, sort="duration", after=cursor)
    with pytest.raises(BadCursor):
        pages.page(database, descending=False, after=cursor)


@pytest.mark.parametrize("sort", ["size", "metric:", ""])
def test_an_unknown_sort_order_is_refused(database: Database, sort: str) -> None:
    with pytest.raises(ValueError, match="expected time, duration or metric:NAME"):
        pages.page(database, sort=sort)


def test_the_best_value_of_a_metric_comes_first(database: Database) -> None:
    for loss, accuracy in ((0.5, 0.1), (0.3, 0.9), (0.9, 0.5)):
        fence = store.running(database)
        attempts.record_epochs(database, fence, [store.epoch(1, val_loss=loss, accuracy=accuracy)])
    by_loss = pages.page(database, sort="metric:val_loss").rows
    assert [row["metrics"]["val_loss"]["min"] for row in by_loss] == [0.3, 0.5, 0.9]
    by_accuracy = pages.page(database, sort="metric:accuracy").rows
    assert [row["metrics"]["accuracy"]["max"] for row in by_accuracy] == [0.9, 0.5, 0.1]
    worst = pages.page(database, sort="metric:val_loss", descending=True).rows
    assert worst[0]["metrics"]["val_loss"]["max"] == 0.9


@pytest.mark.parametrize(("metric", "best"), [("val_loss", "min"), ("accuracy", "max")])
@pytest.mark.parametrize("few", [0, 1000])
def test_either_way_a_job_counts_by_its_best_value(
    database: Database, metric: str, best: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FEW", few)
    # The first epoch, the worst of each job, sorts the jobs in another way than the best.
    for first, last in ((5.0, 0.1), (3.0, 0.2), (4.0, 0.3)):
        fence = store.running(database, name="one")
        epochs = [
            store.epoch(1, val_loss=first, accuracy=1 / first),
            store.epoch(2, val_loss=last, accuracy=1 / last),
        ]
        attempts.record_epochs(database, fence, epochs)
        verdicts.finish(database, fence, store.SUCCEEDED)
    asked: dict[str, Any] = {"sort": f"metric:{metric}", "name": "one"}
    for descending in (None, best == "max"):
        rows = walk(database, 2, descending=descending, **asked)
        assert [row["id"] for row in rows] == [1, 2, 3]
    rows = walk(database, 2, descending=best == "min", **asked)
    assert [row["id"] for row in rows] == [3, 2, 1]
