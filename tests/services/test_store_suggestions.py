"""What a shell may complete, on both databases: read without SQLAlchemy."""

from pathlib import Path

import pytest

from fornada.db.queue import queues, steering
from fornada.db.reads import suggestions
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.services.store import add, running, workers_up


def test_jobs_tags_queues_and_workers_are_those_of_the_database(
    database: Database, database_url: str
) -> None:
    first = running(database, name="first", tags={"owner": "ana", "try": "1"}).job_id
    second = add(database, name="second", tags={"owner": "ana"}, queue="night")
    third = add(database, name="third", tags={"owner": "bo"})
    steering.cancel(database, third, "ana@laptop")
    queues.pause(database, "paused", "ana@laptop")
    workers_up(database, "oven", queues=["default", "big"])

    found = suggestions.jobs(database_url, JobState)
    assert [(each.value, each.about) for each in found] == [
        (str(third), "third cancelled"),
        (str(second), "second queued"),
        (str(first), "first running"),
    ]
    assert [each.value for each in suggestions.jobs(database_url, [JobState.QUEUED])] == [
        str(second)
    ]
    assert [(each.value, each.about) for each in suggestions.tags(database_url)] == [
        ("owner=ana", "2 jobs"),
        ("owner=bo", "1 job"),
        ("try=1", "1 job"),
    ]
    names = [each.value for each in suggestions.queues(database_url)]
    assert names == ["big", "default", "night", "paused"]
    assert [each.value for each in suggestions.workers(database_url)] == ["oven", "host-of-oven"]
    spec = suggestions.specification(database_url, str(second))
    assert spec is not None
    assert spec["fit"] == {"epochs": 3}
    assert suggestions.specification(database_url, "@last") == spec
    assert suggestions.specification(database_url, "oven") is None


@pytest.mark.parametrize("place", ["sqlite:////no/such/file.db", "sqlite:///{folder}/none.db"])
def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, place: str) -> None:
    url = place.format(folder=tmp_path)
    assert suggestions.jobs(url, JobState) == []
    assert suggestions.queues(url) == []
    assert [*tmp_path.iterdir()] == []
