"""Signals to the processes of a worker: what goes on, what ends, and that nothing is left."""

import os
import signal
from collections.abc import Iterator

import pytest

from fornada import broker
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess, gone
from worker.spares import NICE, can_hurry_again

# The promise is two seconds; the cores are shared with other tests.
TRAINER_GONE_S = 2.0


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    made = Site(sqlite_database_url, redis_server.url)
    yield made
    made.close()


@pytest.fixture
def worker(site: Site) -> Iterator[WorkerProcess]:
    """A worker with one slot, killed at the end if the test did not end it."""
    running = site.worker("--slots", "1")
    yield running.ready()
    running.kill()
    until(lambda: not site.processes(), 10, saw=site.processes)


def test_sigterm_drains_the_job_goes_back_to_its_queue(site: Site, worker: WorkerProcess) -> None:
    job_id = _running(site, "wait")

    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(15) == 0, worker.text()
    job = site.show(job_id)
    assert (job["state"], job["attempts"]) == ("queued", 1)
    assert site.processes() == []


def test_sigterm_drains_from_the_first_moment_on(site: Site) -> None:
    job_id = site.add("wait", wake=False)
    worker = site.worker("--slots", "1")
    site.wait(job_id, "running", timeout_s=60)

    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(15) == 0, worker.text()
    assert site.state(job_id) == "queued", worker.text()


def test_an_error_that_celery_cannot_cure_drains_and_it_starts_again(
    site: Site, redis_server: RedisServer
) -> None:
    with site.worker("--slots", "2") as worker, redis_server.client() as client:
        job_id = _running(site, "wait")
        before = worker.celery
        key = f"{broker.KEY_PREFIX}{site.queue}"
        client.set(key, "no list")

        until(lambda: site.state(job_id) == "queued", 20, saw=worker.text)
        client.delete(key)

        job = site.wait(job_id, "running", timeout_s=40)
        assert job["failure"] is None
        assert job["attempts"] > 1
        assert worker.celery != before


def test_a_drained_job_starts_afresh_on_the_next_worker(site: Site, worker: WorkerProcess) -> None:
    job_id = _running(site, "wait")
    worker.stop()

    with site.worker("--slots", "1"):
        job = site.wait(job_id, "running")
        assert job["attempts"] == 2


def test_the_second_sigterm_ends_everything_at_once(site: Site, worker: WorkerProcess) -> None:
    _running(site, "hang")

    worker.process.send_signal(signal.SIGTERM)
    until(lambda: "draining" in worker.text(), 5, saw=worker.text)
    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(5) == 128 + signal.SIGTERM
    assert site.processes() == []


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_drain_too(
    site: Site, worker: WorkerProcess, which: signal.Signals
) -> None:
    worker.process.send_signal(which)

    assert worker.process.wait(15) == 0, worker.text()
    assert site.processes() == []


def test_a_killed_celery_process_takes_its_trainer_with_it_and_is_started_again(
    site: Site, worker: WorkerProcess
) -> None:
    job_id = _running(site, "hang")
    trainer = site.show(job_id)["worker"]["trainer_pid"]
    before = worker.celery

    os.kill(before, signal.SIGKILL)

    until(lambda: gone(trainer), TRAINER_GONE_S)
    # The lost attempt's lease runs out; the worker that came back takes what comes next.
    assert site.wait(site.add("fine"), timeout_s=40)["state"] == "succeeded"
    assert worker.celery != before
    job = site.wait(job_id, timeout_s=30)
    assert job["failure"]["code"] == "WORKER_LOST"


def test_nothing_survives_a_killed_parent(site: Site, worker: WorkerProcess) -> None:
    _running(site, "hang")

    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()

    until(lambda: not site.processes(), TRAINER_GONE_S, saw=site.processes)


def test_a_killed_trainer_is_a_crash_with_its_signal(site: Site, worker: WorkerProcess) -> None:
    job_id = _running(site, "wait")

    os.kill(site.show(job_id)["worker"]["trainer_pid"], signal.SIGKILL)
    job = site.wait(job_id)

    assert job["failure"]["code"] == "CRASHED"
    assert "SIGKILL" in job["failure"]["message"]
    assert site.wait(site.add("fine"))["state"] == "succeeded", worker.text()


def test_a_killed_spare_is_replaced(site: Site, worker: WorkerProcess) -> None:
    spare = until(site.trainers, 10)[0]

    os.kill(spare, signal.SIGKILL)

    assert site.wait(site.add("fine"))["state"] == "succeeded", worker.text()
    assert until(site.trainers, 10)[0] != spare


def test_the_next_spare_waits_behind_the_running_job(site: Site, worker: WorkerProcess) -> None:
    job_id = _running(site, "wait")
    until(lambda: site.show(job_id)["epochs_run"] > 0, 10)
    trainer = site.show(job_id)["worker"]["trainer_pid"]
    spare = next(pid for pid in site.live_trainers(2) if pid != trainer)
    nice = os.getpriority(os.PRIO_PROCESS, spare)
    os.kill(trainer, signal.SIGKILL)
    site.wait(job_id)
    after = _running(site, "wait")

    # Only where this account may take a low priority back is it given at all.
    assert nice == (NICE if can_hurry_again() else 0)
    assert site.show(after)["worker"]["trainer_pid"] == spare, worker.text()
    assert os.getpriority(os.PRIO_PROCESS, spare) == 0


def test_a_celery_process_that_cannot_start_is_not_started_for_ever(site: Site) -> None:
    refused = site.worker("--slots", "tpu:0")

    assert refused.process.wait(30) == 2
    assert '"tpu:0" is no slot' in refused.text()


def _running(site: Site, name: str) -> int:
    job_id = site.add(name)
    until(lambda: site.show(job_id)["device"], 20, saw=lambda: site.show(job_id))
    return job_id
