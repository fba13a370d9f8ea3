"""`from fornada import Client`: what a program does, on SQLite and PostgreSQL with a real Redis."""

import doctest
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

import fornada
import fornada.client
from db.errors import AmbiguousReference, DatabaseUnreachable, JobNotFound, WrongState
from fornada import Client, broker
from fornada.errors import NotStarted, WaitTimedOut
from fornada.settings import Settings
from fornada.spec import SpecProblems
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "specs" / "digits.yaml"


@pytest.fixture
def settings(database_url: str, redis_server: RedisServer, tmp_path: Path) -> Settings:
    redis_server.client().flushall()
    return Settings(
        home=tmp_path,
        database_url=SecretStr(database_url),
        broker_url=SecretStr(redis_server.url),
        data_root=ROOT,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as one:
        yield one


def test_submit_records_the_job_and_wakes_a_worker(client: Client, settings: Settings) -> None:
    job = client.submit(
        SPEC,
        name="other",
        tags={"owner": "ana", "run": "1"},
        queue="gpu",
        priority=7,
        time_limit_s=90,
        overrides=["data.batch_size=128"],
    )
    assert job.warning is None
    document = client.show(job.id)
    assert document["uid"] == job.uid
    assert (document["name"], document["queue"], document["priority"]) == ("other", "gpu", 7)
    assert document["tags"] == {"owner": "ana", "run": "1"}
    assert document["spec"]["data"]["batch_size"] == 128
    assert document["spec"]["resources"]["time_limit"] == 90
    # Relative to the data root, so that every host reads it in its own.
    assert document["spec"]["data"]["train"] == "Data/Train"
    assert broker.queue_length(broker.make_app(settings), "gpu") == 1


def test_a_file_a_document_and_a_spec_are_the_same_job(client: Client) -> None:
    spec = client.load(SPEC)
    again = client.load(spec, overrides=["resources.priority=3"])
    assert again.hash == spec.hash
    assert again.resources.priority == 3
    assert again.data.train == "Data/Train"
    # A document's paths are taken from where the program stands, or absolute.
    document = spec.document()
    document["data"]["train"] = str(ROOT / "Data" / "Train")
    document["data"]["test"] = str(ROOT / "Data" / "Test")
    assert client.load(document).hash == spec.hash


def test_a_bad_spec_is_refused_with_every_problem_of_every_file(
    client: Client, tmp_path: Path
) -> None:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file, layer in zip(files, ("Flaten", "Lambda"), strict=True):
        file.write_text(SPEC.read_text().replace("- Flatten", f"- {layer}"))
    with pytest.raises(SpecProblems) as refused:
        client.load_all(files)
    assert {problem.file for problem in refused.value.problems} == set(map(str, files))
    with pytest.raises(SpecProblems):
        client.submit(files[0])
    assert client.jobs().rows == []


def test_redis_away_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    away = SecretStr(f"redis+socket://:s3cret@{tmp_path}/none.sock")
    with Client(settings.model_copy(update={"broker_url": away})) as client:
        job = client.submit(SPEC)
        assert job.warning is not None
        assert "accepted" in job.warning
        assert "s3cret" not in job.warning
        assert client.show(job.id)["state"] == "queued"


def test_a_database_away_refuses(settings: Settings) -> None:
    away = SecretStr("postgresql://ana:s3cret@127.0.0.1:9/fornada")
    client = Client(settings.model_copy(update={"database_url": away}))
    with client, pytest.raises(DatabaseUnreachable) as refused:
        client.submit(SPEC)
    assert "s3cret" not in str(refused.value)


def test_jobs_are_found_by_id_uid_last_and_range(client: Client) -> None:
    one, two, three = (client.submit(SPEC) for _ in range(3))
    assert client.show(two.uid)["id"] == two.id
    assert client.show("@last")["id"] == three.id
    assert client.find([f"{one.id}-{three.id}", one.uid]) == [one.id, two.id, three.id]
    with pytest.raises(AmbiguousReference):
        client.show(one.uid[:4])
    with pytest.raises(JobNotFound):
        client.show(three.id + 1)


def test_waiting_ends_by_the_job_or_by_the_clock(client: Client) -> None:
    job = client.submit(SPEC)
    with pytest.raises(WaitTimedOut, match="still queued"):
        client.wait(job.id, timeout_s=0)
    assert client.cancel(job.id, reason="enough") == "cancelled"
    document = client.wait(job.id)
    assert (document["state"], document["cancel_reason"]) == ("cancelled", "enough")


def test_a_queued_job_says_why_it_waits(client: Client) -> None:
    job = client.submit(SPEC)
    sight = next(client.follow(job.id))
    assert (sight.final, sight.waits) == (False, "NoWorker")
    assert [row["id"] for row in client.alive()] == [job.id]


def test_what_has_ended_cannot_be_cancelled_into_something_else(client: Client) -> None:
    job = client.submit(SPEC)
    client.cancel(job.id)
    # Asked twice, told the same.
    assert client.cancel(job.id) == "cancelled"
    with pytest.raises(JobNotFound):
        client.cancel(job.id + 1)
    assert WrongState.code == "WRONG_STATE"


def test_pages_of_history(client: Client) -> None:
    ids = [client.submit(SPEC, name=f"job-{n}").id for n in range(5)]
    first = client.jobs(limit=3)
    rest = client.jobs(limit=3, after=first.next)
    assert [row["id"] for row in first.rows + rest.rows] == ids[::-1]
    assert rest.next is None
    assert [row["name"] for row in client.jobs(name="job-3").rows] == ["job-3"]
    assert client.jobs(since=datetime.now(UTC) + timedelta(hours=1)).rows == []


def test_a_log_that_is_not_begun(client: Client) -> None:
    job = client.submit(SPEC)
    with pytest.raises(NotStarted, match="queued and has no log"):
        client.log_file(job.id)
    client.cancel(job.id)
    with pytest.raises(NotStarted, match="cancelled and began no log"):
        client.log_file(job.id)
    assert client.metrics(job.id) == {"id": job.id, "epochs": []}


def test_the_example_in_the_documentation_is_python() -> None:
    assert doctest.testmod(fornada.client).failed == 0
    assert fornada.Client is Client
