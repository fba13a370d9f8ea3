"""R19: a worker that is told to end saves its job, which ends elsewhere with the same numbers."""

import signal
import time
import zipfile
from collections.abc import Iterator
from hashlib import sha256

import pytest

from fornada import artifacts
from fornada.db.queue import workers
from fornada.db.reads import history
from fornada.worker.app import DRAIN_EXTRA_S
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess
from tests.worker_training import RICH, submit

GRACE_S = float(QUICK["GRACE_S"])
# Nobody here waits for a lease, and a busy disk does not end one.
LONG = {"FORNADA_LEASE_S": "60"}
EPOCHS = 40
# Keras is imported three times, on cores that others use too.
TRAINS_S = 180.0
SAME = ("epoch", "learning_rate", "metrics")


@pytest.fixture
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


@pytest.mark.timeout(1200)
def test_r19_a_drained_job_resumes_exactly(site: Site) -> None:
    drained = submit(site, "drained", epochs=EPOCHS, text=RICH)
    for attempt in (1, 2):
        worker = site.keras_worker("--slots", "1", **LONG, FORNADA_GRACE_S="60").ready()
        until(lambda: site.training(drained, attempt), TRAINS_S, saw=worker.text)  # noqa: B023
        begun = site.show(drained)["epochs_run"]
        until(lambda: site.show(drained)["epochs_run"] >= begun + 5, TRAINS_S)  # noqa: B023
        seen = site.show(drained)["epochs_run"]
        # It ends by itself when its grace is over, and then not with 0.
        assert worker.stop(90) == 0, worker.text()
        job = site.show(drained)
        print(f"R19: SIGTERM in epoch {seen + 1}: {job['state']}, {job['epochs_run']} epochs")
        assert (job["state"], job["tries"]) == ("queued", 0), job["failure"]
        assert job["executions"][-1]["outcome"] == "preempted"
    with site.keras_worker("--slots", "1", **LONG):
        job = site.wait(drained, timeout_s=TRAINS_S)
        straight = submit(site, "straight", epochs=EPOCHS, text=RICH)
        assert site.wait(straight, timeout_s=TRAINS_S)["attempts"] == 1

    print(f"R19: {[each['resumed'] for each in job['executions']]}")
    assert (job["state"], job["attempts"]) == ("succeeded", 3)
    assert all(each["resumed"] and not each["resumed"]["inexact"] for each in job["executions"][1:])
    assert _history(site, drained) == _history(site, straight)
    assert _weights(site, drained) == _weights(site, straight)
    assert job["test"] == site.show(straight)["test"]


def test_r19_a_stub_goes_on_where_it_was_drained(site: Site) -> None:
    worker = site.worker("--slots", "1").ready()
    job_id = site.in_epoch(5, "wait-20")

    worker.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    assert worker.process.wait(GRACE_S) == 0, worker.text()
    job = site.show(job_id)
    print(f"R19: {job['state']} after {time.monotonic() - asked:.1f} s")
    assert (job["state"], job["tries"], job["executions"][0]["outcome"]) == (
        *("queued", 0),
        "preempted",
    )
    assert site.processes() == []
    before = job["epochs_run"]
    with site.worker("--slots", "1"):
        assert site.wait(job_id)["attempts"] == 2
    attempts = [epoch["attempt"] for epoch in history.epochs(site.database, job_id)]
    assert attempts == [1] * before + [2] * (20 - before)


@pytest.mark.parametrize("stuck_in", ["hang", "native"])
def test_r19_a_drain_ends_within_its_grace_whatever_the_trainer_does(
    site: Site, stuck_in: str
) -> None:
    grace_s = 3 * GRACE_S
    worker = site.worker("--slots", "1", **LONG, FORNADA_GRACE_S=str(grace_s)).ready()
    job_id = site.add(stuck_in)
    until(lambda: site.training(job_id, 1), 60, saw=worker.text)

    worker.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    # Of so short a grace the tenth for the verdict is little on two busy cores. It ends by itself
    # soon after the grace, and then not with 0.
    assert worker.process.wait(grace_s + DRAIN_EXTRA_S + 10.0) == 0, worker.text()

    job = site.show(job_id)
    print(f"R19: {stuck_in}: {job['state']} after {time.monotonic() - asked:.1f} s")
    assert (job["state"], job["tries"]) == ("queued", 0)
    assert site.processes() == []


def test_r19_a_second_sigterm_ends_at_once_and_loses_only_time(site: Site) -> None:
    worker = site.worker("--slots", "1").ready()
    job_id = site.in_epoch(5, "blunt-30")
    worker.process.send_signal(signal.SIGTERM)
    until(lambda: "draining" in worker.text(), 5, saw=worker.text)
    seen = site.show(job_id)["epochs_run"]
    worker.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()

    assert worker.process.wait(5) == 128 + signal.SIGTERM
    print(f"R19: twice: ended after {time.monotonic() - asked:.2f} s in epoch {seen + 1}")
    assert site.processes() == []
    with site.worker("--slots", "1"):
        job = site.wait(job_id, timeout_s=60)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    attempts = [epoch["attempt"] for epoch in history.epochs(site.database, job_id)]
    assert attempts.count(1) >= seen
    assert len(attempts) == 30


def test_r19_a_drain_from_afar_ends_the_worker_for_good(site: Site) -> None:
    worker = site.worker("--slots", "1").ready()
    other: WorkerProcess
    with site.worker("--slots", "1", "--queues", f"{site.queue}-other") as other:
        job_id = site.in_epoch(3, "wait-20")

        assert workers.request_drain(site.database, worker.name, "ana") == [worker.name]
        asked = time.monotonic()

        assert worker.process.wait(float(QUICK["UPKEEP_S"]) + GRACE_S + 3) == 0, worker.text()
        print(f"R19: from afar: ended after {time.monotonic() - asked:.1f} s")
        assert site.show(job_id)["state"] == "queued"
        assert "asked from afar to drain" in worker.text()
        assert other.process.poll() is None
    # A worker that comes back under the name works again.
    with site.worker("--slots", "1", "--name", worker.name):
        assert site.wait(job_id)["state"] == "succeeded"


def _history(site: Site, job_id: int) -> list[dict[str, object]]:
    epochs = history.epochs(site.database, job_id)
    return [{name: dict(epoch)[name] for name in SAME} for epoch in epochs]


def _weights(site: Site, job_id: int) -> str:
    file = artifacts.path(site.settings, site.show(job_id)["best"]["uri"])
    with zipfile.ZipFile(file) as model:
        return sha256(model.read("model.weights.h5")).hexdigest()
