"""R17: a cancelled job is over within heartbeat and grace, whatever its trainer is stuck in.

A trainer that obeys waits for another job then; any other is gone.
"""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import keras
import pytest

from fornada import artifacts
from fornada.db.queue import steering
from tests.processes import gone
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess
from tests.worker_training import submit

PROMISED_S = float(QUICK["HEARTBEAT_S"]) + float(QUICK["GRACE_S"])
# What two busy cores add to so short a grace.
GONE_S = PROMISED_S + 3.0


@pytest.fixture(scope="module")
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """A site for the module."""
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """One worker with stubs: it has to survive every cancel."""
    with site.worker("--slots", "1") as running:
        yield running


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("stuck_in", ["hang", "native", "blunt"])
def test_r17_a_cancelled_trainer_is_gone_within_heartbeat_and_grace(
    site: Site, stuck_in: str
) -> None:
    job_id, trainer = _started(site, stuck_in)

    steering.cancel(site.database, job_id, "test")
    asked = time.monotonic()
    until(lambda: gone(trainer), GONE_S)
    print(f"R17: {stuck_in}: gone after {time.monotonic() - asked:.1f} s")

    job = site.wait(job_id)
    assert (job["state"], job["stop_reason"]) == ("cancelled", "cancelled")
    assert site.wait(site.add("fine"))["state"] == "succeeded"


@pytest.mark.usefixtures("worker")
def test_r17_a_trainer_that_obeys_is_free_for_another_job(site: Site) -> None:
    job_id, trainer = _started(site, "wait")

    steering.cancel(site.database, job_id, "test")
    asked = time.monotonic()
    job = site.wait(job_id, timeout_s=GONE_S)
    print(f"R17: wait: cancelled after {time.monotonic() - asked:.1f} s")

    assert (job["state"], job["stop_reason"]) == ("cancelled", "cancelled")
    log = artifacts.attempt_folder(site.settings, job["uid"], 1) / "train.log"
    said = log.read_bytes()
    after = site.wait(site.add("fine"))
    assert (after["state"], after["worker"]["trainer_pid"]) == ("succeeded", trainer)
    assert log.read_bytes() == said


@pytest.mark.usefixtures("worker")
def test_r17_force_kills_at_once_also_after_a_patient_cancel(site: Site) -> None:
    job_id, trainer = _started(site, "native")
    steering.cancel(site.database, job_id, "test", grace_s=600.0)
    after = time.monotonic() + PROMISED_S + 1.0
    until(lambda: time.monotonic() > after, PROMISED_S + 2)
    assert not gone(trainer)

    steering.cancel(site.database, job_id, "test", grace_s=0.0)
    asked = time.monotonic()
    until(lambda: gone(trainer), 3)

    print(f"R17: forced: gone after {time.monotonic() - asked:.1f} s")
    assert site.wait(job_id)["state"] == "cancelled"


@pytest.mark.usefixtures("worker")
def test_r17_a_trainer_that_drains_can_still_be_cancelled_and_forced(site: Site) -> None:
    worker = site.worker("--slots", "1", "--queues", "other", FORNADA_GRACE_S="120").ready()
    job_id, trainer = _started(site, "native", queue="other")
    worker.process.terminate()
    until(lambda: "draining" in worker.text(), 5)

    steering.cancel(site.database, job_id, "test", grace_s=0.0)

    until(lambda: gone(trainer), 3)
    assert site.wait(job_id)["state"] == "cancelled"
    assert worker.process.wait(10) == 0, worker.text()


def test_r17_the_last_checkpoint_of_a_stopped_trainer_loads(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.keras_worker("--slots", "1") as worker,
    ):
        job_id = submit(site, "endless", epochs=100_000)
        until(lambda: site.show(job_id)["epochs_run"] > 2, 60, saw=worker.text)
        trainer = site.show(job_id)["worker"]["trainer_pid"]
        # As deep in native code as a process can be: it runs nothing any more.
        os.kill(trainer, signal.SIGSTOP)
        seen = site.show(job_id)["epochs_run"]
        print(f"R17: stopped in epoch {seen + 1}")

        steering.cancel(site.database, job_id, "test")
        until(lambda: gone(trainer), GONE_S)

        job = site.wait(job_id)
        assert job["state"] == "cancelled"
        model = keras.models.load_model(artifacts.path(site.settings, job["best"]["uri"]))
        assert model.count_params() == job["parameters"]
        steering.retry(site.database, job_id, "test")
        until(lambda: site.training(job_id, 2), 60, saw=worker.text)
        resumed = site.show(job_id)["executions"][1]["resumed"]
        print(f"R17: a retry goes on from {resumed}")
        assert resumed["epoch"] >= seen
        site.cancel(job_id)


def _started(site: Site, name: str, **changes: Any) -> tuple[int, int]:
    job_id = site.add(name, **changes)
    until(lambda: site.training(job_id, 1), 30, saw=lambda: site.show(job_id))
    return job_id, site.show(job_id)["worker"]["trainer_pid"]
