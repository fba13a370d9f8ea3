"""R2: with Redis down or hung a job is accepted, with a warning, and runs once."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.installed import Fornada
from tests.acceptance.specs import small
from tests.faults.telling import tell, tell_only
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site

# The promise.
ACCEPTED_S = 10.0


@pytest.fixture
def fornada(site: Site) -> Fornada:
    """The command, for this site."""
    ours = {name: site.environment()[name] for name in site.environment() if "FORNADA_" in name}
    return Fornada(site.home, ours)


@pytest.mark.parametrize("fault", ["down", "hung"])
def test_a_job_is_accepted_with_a_warning_and_runs_once(
    site: Site, redis: RedisServer, fornada: Fornada, tmp_path: Path, fault: str
) -> None:
    spec = small(tmp_path, "fine", queue=site.queue)
    with site.worker("--slots", "1") as worker:
        _away(redis, fault)
        tell_only(f"Redis is {fault}", f"workers {site.alive()}")
        begin = time.monotonic()
        done = fornada("submit", "-q", spec)
        took_s = time.monotonic() - begin
        _back(redis, fault)

        assert done.stderr.count("Warning") == 1, done
        job_id = int(done.stdout)
        tell(f"accepted after {took_s:.2f} s, Redis is back", site, job_id)
        assert took_s < ACCEPTED_S
        job = site.wait(job_id)
        assert (job["state"], job["attempts"]) == ("succeeded", 1), worker.text()
        _nothing_waits(site)
        assert site.show(job_id)["attempts"] == 1


def test_it_waits_for_a_worker_that_comes_when_redis_is_back(
    site: Site, redis: RedisServer, fornada: Fornada, tmp_path: Path
) -> None:
    spec = small(tmp_path, "fine", queue=site.queue)
    redis.stop()
    done = fornada("submit", "-q", spec)
    redis.start()
    job_id = int(done.stdout)
    tell("Redis is back, and no worker there", site, job_id)
    assert site.state(job_id) == "queued"

    with site.worker("--slots", "1"), site.worker("--slots", "1"):
        job = site.wait(job_id)
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        _nothing_waits(site)
        assert site.show(job_id)["attempts"] == 1


def _away(redis: RedisServer, fault: str) -> None:
    if fault == "down":
        redis.stop()
    else:
        os.kill(redis.pid, signal.SIGSTOP)


def _back(redis: RedisServer, fault: str) -> None:
    if fault == "down":
        redis.start()
    else:
        os.kill(redis.pid, signal.SIGCONT)


def _nothing_waits(site: Site) -> None:
    """Whatever was published has been taken: no further wake-up could start the job again."""
    until(lambda: site.publisher.queue_length(site.queue) == 0, 20)
