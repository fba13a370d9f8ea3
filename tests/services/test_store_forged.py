"""Rows that somebody wrote by hand: they fail or wait alone, and break nothing for the others."""

import json

import pytest
from sqlalchemy import text

from fornada.db.queue import verdicts
from fornada.db.reads import documents, live, pages
from fornada.db.states import FailureCode
from fornada.db.store.session import Database
from tests.services import store

DEEP = "[" * 5000 + "]" * 5000


# One statement for each column that a test writes, past our own types.
FORGE = {
    "uid": text("UPDATE job SET uid = :value WHERE id = :id"),
    "spec": text("UPDATE job SET spec = :value WHERE id = :id"),
    "attempt": text("UPDATE job SET attempt = :value WHERE id = :id"),
}


# What lets a row pass that the database refuses: as in a row of an earlier version.
UNGUARDED = {
    "sqlite": "DROP TRIGGER IF EXISTS job_uid_update",
    "postgresql": "SET LOCAL session_replication_role = replica",
}


def forge(database: Database, job_id: int, column: str, value: object) -> None:
    """Write a column of a job, as a statement in `psql` would."""
    with database.begin() as connection:
        connection.exec_driver_sql(UNGUARDED[database.dialect])
        connection.execute(FORGE[column], {"value": value, "id": job_id})


@pytest.mark.parametrize(
    "uid",
    ["../../x", "/tmp/x", "VICTIM/.", "VICTIM/attempt-1", "", "a" * 40, "VICTIM\n"],
)
def test_a_job_whose_uid_is_a_path_fails_and_the_queue_goes_on(
    database: Database, uid: str
) -> None:
    victim = store.new_job()
    bad, good = store.add(database, priority=9), store.add(database)
    uid = uid.replace("VICTIM", victim.uid)
    forge(database, bad, "uid", uid)
    claimed = store.claim(database)
    assert claimed is not None
    assert claimed.job_id == good
    failed = documents.job(database, bad)
    assert failed["state"] == "failed"
    assert failed["failure"] is not None
    assert failed["failure"]["code"] == FailureCode.SPEC_INVALID
    assert [one["outcome"] for one in failed["executions"]] == ["failed"]


@pytest.mark.parametrize(
    "spec",
    [
        "[1, 2]",
        '"text"',
        "null",
        "7",
        DEEP,
        f'{{"a": {DEEP}}}',
        '{"fit": 3}',
        '{"fit": {"epochs": "many"}}',
        f'{{"fit": {{"epochs": {"9" * 5000}}}}}',
        '{"fit": {"epochs": 1e999}}',
        '{"fit": {"epochs": true}}',
        "{}",
    ],
    ids=lambda spec: spec[:30],
)
def test_a_spec_of_any_shape_breaks_no_list_and_no_claim(database: Database, spec: str) -> None:
    bad, good = store.add(database, priority=9), store.add(database)
    forge(database, bad, "spec", spec)
    assert {row["id"] for row in live.alive(database)} == {bad, good}
    assert {row["id"]: row["epochs"] for row in pages.page(database).rows} == {bad: None, good: 3}
    assert isinstance(documents.job(database, bad)["spec"], dict)
    # A worker gets it, and its trainer refuses it as it refuses every invalid spec.
    claimed = store.claim(database)
    assert claimed is not None
    assert claimed.job_id == bad
    json.dumps(claimed.spec)


def test_a_claim_lists_the_attempts_that_were_made_and_not_those_a_row_names(
    database: Database,
) -> None:
    first = store.running(database)
    verdicts.finish(database, first, store.PREEMPTED)
    forge(database, first.job_id, "attempt", 2_000_000_000)
    claimed = store.claim(database)
    assert claimed is not None
    assert claimed.attempt == 2_000_000_001
    assert [number for _, number in claimed.resume_from] == [1]
