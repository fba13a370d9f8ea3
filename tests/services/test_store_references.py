"""References: how people name jobs."""

import pytest

from fornada.db.errors import AmbiguousReference, BadReference, JobNotFound
from fornada.db.reads import references
from fornada.db.store.session import Database
from tests.services import store

FIRST = "0193aaaa-0001-7000-8000-000000000001"
SECOND = "0193aaaa-0002-7000-8000-000000000002"
THIRD = "0193bbbb-0003-7000-8000-000000000003"


@pytest.fixture
def three(database: Database) -> Database:
    """Jobs 1, 2 and 3 with known uids."""
    for uid in (FIRST, SECOND, THIRD):
        store.add(database, uid=uid)
    return database


@pytest.mark.parametrize(
    ("reference", "job_id"),
    [
        ("2", 2),
        (SECOND, 2),
        ("0193b", 3),
        ("0193bbbb-", 3),
        ("0193aaaa-0001", 1),
        ("0193BBBB", 3),
        (" 2 ", 2),
        ("@last", 3),
    ],
)
def test_a_reference_names_one_job(three: Database, reference: str, job_id: int) -> None:
    assert references.find(three, reference) == job_id


@pytest.mark.parametrize(
    "reference",
    [
        "4",
        "0",
        "1.0",
        "019",
        "0194",
        "zzzz",
        "",
        "@first",
        "digits",
        FIRST + "0",
        "9" * 30,
    ],
)
def test_a_reference_that_names_no_job(three: Database, reference: str) -> None:
    with pytest.raises(JobNotFound):
        references.find(three, reference)


@pytest.mark.parametrize("reference", ["-1", "1-2"])
def test_a_range_does_not_name_one_job(three: Database, reference: str) -> None:
    with pytest.raises(BadReference):
        references.find(three, reference)


def test_last_names_no_job_in_an_empty_database(database: Database) -> None:
    with pytest.raises(JobNotFound):
        references.find(database, "@last")


def test_a_prefix_of_several_uids_is_refused(three: Database) -> None:
    with pytest.raises(AmbiguousReference) as ambiguous:
        references.find(three, "0193aaaa")
    assert ambiguous.value.candidates == (f"1 ({FIRST})", f"2 ({SECOND})")
    assert "0193aaaa" in str(ambiguous.value)


def test_resolve_takes_ranges_and_several_references(three: Database) -> None:
    assert references.resolve(three, ["1-3"]) == [1, 2, 3]
    assert references.resolve(three, ["2-20"]) == [2, 3]
    assert references.resolve(three, ["3", "1-2", "@last", "0193b"]) == [3, 1, 2]
    assert references.resolve(three, []) == []
    for missing in (["7-9"], ["1", "9"]):
        with pytest.raises(JobNotFound):
            references.resolve(three, missing)
    with pytest.raises(BadReference):
        references.resolve(three, ["3-2"])
