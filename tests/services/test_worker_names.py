"""A worker's name: one living worker has it, and what ran under it before is given up."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import PROGRAM, Site


@pytest.fixture
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


def test_a_second_worker_of_a_name_in_a_home_is_refused(site: Site) -> None:
    with site.worker("--slots", "1") as first:
        second = site.worker("--slots", "1", "--name", first.name)

        assert second.process.wait(30) == 5
        assert f"a worker named {first.name} already runs in {site.home}" in second.text()
        assert site.wait(site.add("fine"))["worker"]["name"] == first.name


def test_a_second_worker_of_a_name_on_another_host_is_refused(site: Site) -> None:
    # A worker of another home: what another host's would see of the first, but for its name.
    with site.worker("--slots", "1") as first, site.neighbour() as elsewhere:
        second = elsewhere.worker("--slots", "1", "--name", first.name)
        job_id = site.in_epoch(1, "wait")

        assert second.process.wait(60) == 5, second.text()
        assert f"a worker named {first.name} runs on" in second.text()
        assert site.show(job_id)["attempts"] == 1
        site.cancel(job_id)


def test_of_two_of_a_name_that_start_at_once_one_is_refused(site: Site) -> None:
    with site.neighbour() as elsewhere:
        both = [each.worker("--slots", "1", "--name", "twin") for each in (site, elsewhere)]
        refused = until(lambda: [each for each in both if each.process.poll() is not None], 60)[0]
        (other,) = [each for each in both if each is not refused]

        assert refused.process.poll() == 5, refused.text()
        assert "give this one another --name" in refused.text()
        assert site.wait(site.add("fine"), timeout_s=60)["state"] == "succeeded"
        assert other.stop() == 0


def test_a_name_whose_worker_was_killed_is_free_again(site: Site) -> None:
    first = site.worker("--slots", "1").ready()
    job_id = site.in_epoch(1, "wait-15")
    first.kill()
    with site.neighbour() as elsewhere:
        # Nothing of the first is known there: it is waited for, in vain, unless that took longer.
        second = elsewhere.worker("--slots", "1", "--name", first.name).ready()
        job = site.wait(job_id)

        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        assert second.stop() == 0


def test_a_worker_that_comes_back_in_its_home_gives_up_what_it_ran(site: Site) -> None:
    long = {"FORNADA_LEASE_S": "3600", "FORNADA_HEARTBEAT_S": "10"}
    first = site.worker("--slots", "2", **long).ready()
    ids = [site.in_epoch(1, "wait-15"), site.in_epoch(1, "wait-15")]
    first.kill()
    until(lambda: not site.processes(), 5)

    with site.worker("--slots", "2", "--name", first.name, **long) as again:
        ended = [site.wait(job_id, timeout_s=60) for job_id in ids]

        assert [(job["state"], job["attempts"]) for job in ended] == [("succeeded", 2)] * 2
        assert [job["executions"][0]["outcome"] for job in ended] == ["lost", "lost"]
        assert "waiting to see whether" not in again.text()


def test_a_name_that_is_no_files_is_refused(site: Site) -> None:
    for name in ("../up", "a b", "", ".hidden", "x" * 200):
        done = subprocess.run(
            [PROGRAM, "--name", name], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 2
        assert "is not a valid name" in done.stderr


def test_check_tells_a_living_worker_from_a_dead_one(site: Site) -> None:
    assert _check(site) == (1, f"no worker runs in {site.home}\n")
    with site.worker("--slots", "1") as worker:
        until(lambda: _check(site) == (0, f"{worker.name}: consuming\n"), 10)
        os.kill(worker.celery, signal.SIGSTOP)
        until(lambda: "sends no heartbeat" in _check(site)[1], 60)
        assert _check(site)[0] == 1
        os.kill(worker.celery, signal.SIGCONT)
        until(lambda: _check(site)[0] == 0, 60, saw=lambda: _check(site))
    assert _check(site)[0] == 1


def _check(site: Site) -> tuple[int, str]:
    done = subprocess.run(
        [PROGRAM, "--check"],
        env=site.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout
