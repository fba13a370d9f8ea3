"""Query plans: the claim and every page can use an index, and no query reads the whole table."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Executable, select, text
from sqlalchemy.sql import ClauseElement

from fornada.db.queue.claims import claimable, kinds
from fornada.db.queue.dependents import WAITING_FOR, due
from fornada.db.queue.expiry import lost
from fornada.db.queue.logs import forgettable
from fornada.db.queue.queues import waiting
from fornada.db.queue.upkeep import ready_in
from fornada.db.reads.estimates import equal_specs, same_name
from fornada.db.reads.history import last_equal
from fornada.db.reads.live import walks
from fornada.db.reads.pages import Sorting, filters, with_value, without_value
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job, LogChunk
from tests.services import store

Explain = Callable[[Any], str]


def plan(connection: Connection, statement: ClauseElement) -> str:
    """The database's plan for a statement, with literal values in the place of parameters."""
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    # Escape colons, so that `text` does not take them for parameters.
    sql = str(compiled).replace(":", "\\:")
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))
        return "\n".join(row.detail for row in rows)
    # On a small table a scan is cheaper than any index. This asks whether an index can be used.
    for way in ("seqscan", "bitmapscan", "mergejoin", "hashjoin", "sort", "incremental_sort"):
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    rows = connection.execute(text(f"EXPLAIN {sql}"))
    return "\n".join(str(row[0]) for row in rows)


def assert_walks(found: str, index: str) -> None:
    """Assert that the plan reads along the index and does not sort."""
    assert re.search(rf"\b{index}\b", found), found
    # The words of PostgreSQL and SQLite for sorting.
    assert "Sort" not in found, found
    assert "TEMP B-TREE" not in found, found


@pytest.fixture
def explain(database: Database) -> Explain:
    """A function that explains a statement. The database has 50 jobs and no statistics."""
    store.keep_autovacuum_out(database)
    store.add_many(database, 50)

    def explained(statement: Any) -> str:
        with database.begin() as connection:
            return plan(connection, statement)

    return explained


def test_the_claim_walks_an_index_of_its_own_for_each_kind(explain: Explain) -> None:
    *at_once, had_to_wait = kinds(["default", "night"], ["auto", "0"])
    assert len(at_once) == 4
    for kind in at_once:
        found = explain(kind.limit(1))
        assert_walks(found, "job_kind")
        assert re.search(r"queue ?= ?.*gpus ?= ?", found), found
    # The jobs that had to wait for a time are read by that time, and then sorted.
    assert "job_time" in explain(had_to_wait.limit(1))


def test_the_claim_reads_only_its_own_indexes_and_jobs_by_id(
    explain: Explain, database: Database
) -> None:
    found = explain(claimable(["default"], ["auto", "0"]).limit(1))
    by_id = "job_pkey" if database.dialect == "postgresql" else "INTEGER PRIMARY KEY"
    assert {"job_kind", "job_time"} <= set(re.findall(r"job_\w+", found)), found
    assert by_id in found, found
    assert not re.search(r"SCAN job\b|Seq Scan|job_claim|job_state", found), found


def test_claimable_jobs_are_counted_along_indexes(explain: Explain) -> None:
    assert_walks(explain(ready_in("default", 10)[0]), "job_kind")
    assert_walks(explain(ready_in("default", 10)[1]), "job_time")
    names = explain(waiting())
    assert {"job_kind", "job_time"} <= set(re.findall(r"job_\w+", names)), names
    assert not re.search(r"Seq Scan|job_claim|job_state", names), names


def test_expired_leases_are_searched_among_running_jobs(explain: Explain) -> None:
    assert_walks(explain(lost()), "job_state")


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    ("sort", "index"),
    [
        ("time", "job_pkey"),
        ("duration", "job_duration"),
        ("metric:val_loss", "metric_summary_min"),
        ("metric:accuracy", "metric_summary_max"),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_pages_walk_an_index(  # noqa: PLR0917
    explain: Explain, database: Database, sort: str, index: str, descending: bool, deep: bool
) -> None:
    statement = with_value(Sorting(sort, descending), (0.5, 20) if deep else None)
    assert statement is not None
    found = explain(statement.limit(50))
    if database.dialect == "sqlite" and index == "job_pkey":
        # SQLite's primary key is the table itself.
        assert ("SEARCH" if deep else "SCAN") in found
        assert "B-TREE" not in found
    else:
        assert_walks(found, index)
    if deep and database.dialect == "postgresql":
        # The cursor is a condition on the index, not a filter on rows that were read already.
        assert re.search(r"Index Cond: .*(ROW|id <|id >)", found), found


@pytest.mark.parametrize("sort", ["duration", "metric:val_loss"])
def test_jobs_without_the_sorted_value_are_read_along_an_index(explain: Explain, sort: str) -> None:
    statement = without_value(Sorting(sort), (None, 20))
    assert statement is not None
    found = explain(statement.limit(50))
    assert "Sort" not in found, found
    assert "TEMP B-TREE" not in found, found


def test_old_log_chunks_are_found_by_index(explain: Explain) -> None:
    assert_walks(explain(select(LogChunk.c.number).where(forgettable(60.0))), "log_chunk_at")


def test_assert_walks_fails_for_a_plan_that_sorts(explain: Explain) -> None:
    unsorted: Executable = select(Job.c.id).order_by(Job.c.user).limit(1)
    with pytest.raises(AssertionError):
        assert_walks(explain(unsorted), "job_claim")


def test_jobs_with_equal_specs_are_read_along_a_partial_index(explain: Explain) -> None:
    for statement in (equal_specs("aa"), last_equal("aa", "f1")):
        assert_walks(explain(statement), "job_spec_hash")


def test_jobs_of_a_name_are_read_along_an_index(explain: Explain) -> None:
    assert_walks(explain(same_name("digits")), "job_name")


def test_live_jobs_are_read_along_indexes(explain: Explain) -> None:
    running, queued, held = (explain(walk.limit(50)) for walk in walks())
    assert re.search(r"\bjob_state\b", running), running
    assert_walks(queued, "job_claim")
    assert_walks(held, "job_state")


def test_jobs_to_settle_are_searched_among_held_jobs(explain: Explain) -> None:
    found = explain(due(3, 30))
    assert_walks(found, "job_state")
    # It reads only the held jobs between the two ids.
    assert re.search(r"id ?> ?.* AND .*id ?<", found), found
    assert "dependency_pkey" in found or "sqlite_autoindex_dependency_1" in found, found


def test_jobs_that_wait_for_a_job_are_found_by_index(explain: Explain) -> None:
    assert_walks(explain(WAITING_FOR.params(needed=7)), "dependency_needs_id")


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"states": [JobState.FAILED]}, "job_state"),
        ({"name": "digits"}, "job_name"),
        ({"name": "digits*"}, "job_name"),
        ({"tags": {"keep": "yes"}}, "job_tag_value"),
        ({"since": datetime(2026, 1, 1, tzinfo=UTC)}, "job_submitted"),
    ],
    ids=["state", "name", "names", "tag", "since"],
)
def test_an_index_can_serve_each_filter(
    explain: Explain, database: Database, asked: dict[str, Any], index: str
) -> None:
    if database.dialect == "postgresql":
        # Without ORDER BY: PostgreSQL would otherwise read along the ids, which are in order.
        assert index in explain(select(Job.c.id).where(*filters(**asked)))
    walked = with_value(Sorting("time"), None)
    assert walked is not None
    found = explain(walked.where(*filters(**asked)).limit(50))
    if index in ("job_state", "job_name") and asked != {"name": "digits*"}:
        assert_walks(found, index)
    elif database.dialect == "sqlite":
        # SQLite has no statistics. It reads the jobs from the latest back until the page is full,
        # and does not sort.
        assert found.startswith("SCAN job"), found
        assert "TEMP B-TREE" not in found, found


@pytest.mark.parametrize("asked", [{}, {"tags": {"keep": "yes"}}, {"states": [JobState.FAILED]}])
def test_filtered_metrics_are_looked_up_and_nothing_is_scanned(
    explain: Explain, database: Database, asked: dict[str, Any]
) -> None:
    statement = with_value(Sorting("metric:val_loss"), None)
    assert statement is not None
    found = explain(statement.where(*filters(**asked)).limit(50))
    assert not re.search(r"\bSCAN\b|Seq Scan", found), found
    if not asked or database.dialect == "sqlite":
        assert_walks(found, "metric_summary_min")
