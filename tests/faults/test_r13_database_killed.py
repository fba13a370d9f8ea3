"""R13: PostgreSQL stopped hard in mid-training: no epoch is lost or doubled, training goes on.

Twelve seconds, longer than the lease; `FORNADA_TEST_FULL=1` makes it thirty.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fornada import artifacts
from tests.faults.databases import durable_site, epochs_in_order
from tests.faults.telling import tell
from tests.servers import PostgresServer, RedisServer
from tests.stub_trainer import EPOCH_S
from tests.until import until
from tests.worker_process import Site

AWAY_S = 30.0 if os.environ.get("FORNADA_TEST_FULL") == "1" else 12.0
# The promise.
STALL_S = 1.0


@pytest.fixture
def site(postgres: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """On that PostgreSQL."""
    with durable_site(postgres, redis_server.url) as made:
        yield made


@pytest.mark.timeout(600)
def test_no_epoch_is_lost_and_training_does_not_stall(site: Site, postgres: PostgresServer) -> None:
    with site.worker("--slots", "1") as worker:
        job_id = site.add("wait")
        until(lambda: site.show(job_id)["epochs_run"] > 3, 30, saw=worker.text)
        log = _log(site, job_id)
        before = site.show(job_id)["epochs_run"]
        tell(f"PostgreSQL is killed for {AWAY_S:.0f} s", site, job_id)
        postgres.kill()
        longest_s, trained = _watch(log, AWAY_S)
        postgres.start()
        again_s, more = _watch(log, 3.0)
        stall_s = max(longest_s, again_s) - EPOCH_S
        tell(f"PostgreSQL is back; the longest stall was {stall_s:.2f} s", site, job_id)

        assert trained + more > AWAY_S / EPOCH_S * 0.5
        assert stall_s < STALL_S
        until(lambda: site.show(job_id)["epochs_run"] >= before + trained, 30, saw=worker.text)
        assert epochs_in_order(site, job_id) >= before + trained
        job = site.show(job_id)
        assert (job["state"], job["attempts"], job["tries"]) == ("running", 1, 0)


@pytest.mark.timeout(600)
def test_jobs_that_end_while_it_is_away_end_once(site: Site, postgres: PostgresServer) -> None:
    with site.worker("--slots", "2") as worker:
        ids = [site.add("wait-15"), site.add("crash-1")]
        until(lambda: all(site.show(each)["attempts"] for each in ids), 30, saw=worker.text)
        tell("PostgreSQL is killed until both have ended", site, *ids)
        postgres.kill()
        log = site.home / "artifacts"
        until(lambda: _lines(log, "epoch 15") == 1, 30, saw=worker.text)
        postgres.start()

        wait, crash = (site.wait(each) for each in ids)
        tell("both have their verdicts", site, *ids)
        assert (wait["state"], wait["attempts"]) == ("succeeded", 1), worker.text()
        assert (crash["state"], crash["attempts"], crash["tries"]) == ("succeeded", 2, 1)
        assert epochs_in_order(site, ids[0]) == 15


def _log(site: Site, job_id: int) -> Path:
    return artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], 1) / "train.log"


def _watch(log: Path, seconds: float) -> tuple[float, int]:
    """The longest time between two epochs in the trainer's own log, and how many came."""
    end = time.monotonic() + seconds
    last, size, longest_s, epochs = time.monotonic(), log.stat().st_size, 0.0, 0

    def grown() -> bool:
        return log.stat().st_size > size or time.monotonic() > end

    while time.monotonic() < end:
        until(grown, seconds + 1)
        longest_s = max(longest_s, time.monotonic() - last)
        if log.stat().st_size > size:
            last, size, epochs = time.monotonic(), log.stat().st_size, epochs + 1
    return longest_s, epochs


def _lines(folder: Path, line: str) -> int:
    logs = folder.glob("*/attempt-1/train.log")
    return sum(log.read_text().splitlines().count(line) for log in logs)
