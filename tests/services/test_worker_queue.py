"""A worker and its queue, on both databases; stub trainers stand in for Keras."""

from collections.abc import Iterator

import pytest

from db import migrations
from db.session import Database
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def site(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A migrated database of each kind, for the whole module."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        server.execute("CREATE DATABASE worker_queue")
        url = server.url("worker_queue")
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/fornada.db"
    database = Database(url)
    migrations.upgrade(database)
    database.dispose()
    made = Site(url, redis_server.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """One worker with two slots, for the whole module: it has to take whatever comes."""
    with site.worker("--slots", "2") as running:
        yield running


@pytest.mark.usefixtures("worker")
def test_a_job_runs_from_wake_up_to_verdict(site: Site) -> None:
    job = site.wait(site.add("fine"))

    assert job["state"] == "succeeded"
    assert job["stop_reason"] == "completed"
    assert (job["epochs_run"], job["attempts"]) == (2, 1)
    uri = f"artifacts:{job['uid']}/attempt-1/best.keras"
    assert (job["best"]["uri"], job["best"]["bytes"]) == (uri, 5)
    assert job["device"] == "stub"


@pytest.mark.usefixtures("worker")
def test_a_lost_wake_up_is_found_by_upkeep(site: Site) -> None:
    job_id = site.add("fine", wake=False)

    assert site.wait(job_id, timeout_s=10)["state"] == "succeeded"
