"""Redis, PostgreSQL or a whole worker away: running jobs go on, and nothing is lost or doubled."""

import time
from collections.abc import Iterator

import pytest

from fornada.db.reads import history
from tests.faults.telling import tell
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess

# Longer than the lease of 8 s.
AWAY_S = 10.0


@pytest.fixture(scope="module")
def site(redis: RedisServer, postgres: PostgresServer) -> Iterator[Site]:
    """A database, a home and a queue for the module."""
    with Site.on(postgres, redis.url) as made:
        yield made


@pytest.fixture(scope="module")
def workers(site: Site) -> Iterator[list[WorkerProcess]]:
    """Two workers of one slot each, in one home."""
    with site.worker("--slots", "1") as first, site.worker("--slots", "cpu") as second:
        yield [first, second]


def test_two_workers_share_a_queue_and_a_host(site: Site, workers: list[WorkerProcess]) -> None:
    ids = [site.add("wait"), site.add("wait")]

    ran = {site.wait(job_id, "running")["worker"]["name"] for job_id in ids}

    assert ran == {worker.name for worker in workers}
    site.cancel(*ids)


@pytest.mark.usefixtures("workers")
def test_a_redis_that_restarts_empty_is_whole_again(site: Site, redis: RedisServer) -> None:
    running = _running(site)
    waiting = [site.add("fine", wake=False)]

    tell("Redis is killed, with all that it holds", site, running, *waiting)
    redis.kill()
    waiting.append(site.add("fine", wake=False))
    redis.start()

    assert [site.wait(job_id)["attempts"] for job_id in waiting] == [1, 1]
    assert site.show(running)["attempts"] == 1
    site.cancel(running)


@pytest.mark.usefixtures("workers")
def test_jobs_run_while_redis_is_away(site: Site, redis: RedisServer) -> None:
    running = _running(site)
    tell("Redis is stopped", site, running)
    redis.stop()
    try:
        seen = site.show(running)["epochs_run"]
        until(lambda: site.show(running)["epochs_run"] > seen + 3, 10)
        assert site.wait(site.add("fine", wake=False))["state"] == "succeeded"
    finally:
        redis.start()
    site.cancel(running)


@pytest.mark.usefixtures("workers")
def test_epochs_wait_for_a_database_that_is_away_longer_than_the_lease(
    site: Site, postgres: PostgresServer
) -> None:
    running = _running(site)
    seen = site.show(running)["epochs_run"]
    tell(f"PostgreSQL is killed for {AWAY_S} s", site, running)
    postgres.kill()
    back_at = time.monotonic() + AWAY_S
    until(lambda: time.monotonic() > back_at, AWAY_S + 1)
    postgres.start()

    # Five epochs a second were trained meanwhile.
    until(lambda: site.show(running)["epochs_run"] > seen + 40, 20, saw=lambda: site.show(running))
    numbers = [epoch["epoch"] for epoch in history.epochs(site.database, running)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (site.state(running), site.show(running)["attempts"]) == ("running", 1)
    site.cancel(running)


def _running(site: Site) -> int:
    return site.in_epoch(1, "wait")
