"""Signals to the processes of a worker beside the promises R7, R18, R19 and R23."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess


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
    until(lambda: not site.processes(), 10, saw=site.living)


def test_sigterm_drains_from_the_first_moment_on(site: Site) -> None:
    job_id = site.add("wait", wake=False)
    worker = site.worker("--slots", "1")
    site.wait(job_id, "running", timeout_s=60)

    tell("SIGTERM to a worker that has just come up", site, job_id)
    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(15) == 0, worker.text()
    assert site.state(job_id) == "queued", worker.text()


def test_a_celery_process_that_stops_by_itself_drains_and_starts_again(site: Site) -> None:
    with site.worker("--slots", "2") as worker:
        job_id = _running(site, "wait")
        before = worker.celery
        tell("SIGQUIT to Celery, which then stops as after an error", site, job_id)
        os.kill(before, signal.SIGQUIT)

        until(lambda: site.state(job_id) == "queued", 20, saw=worker.text)
        job = site.wait(job_id, "running", timeout_s=40)
        assert job["failure"] is None
        assert job["attempts"] > 1
        assert worker.celery != before


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_drain_too(
    site: Site, worker: WorkerProcess, which: signal.Signals
) -> None:
    tell(f"{which.name} to an idle worker", site)
    worker.process.send_signal(which)

    assert worker.process.wait(15) == 0, worker.text()
    assert site.processes() == []


def test_a_terminal_that_closes_sends_sighup_twice_and_drains_once(
    site: Site, worker: WorkerProcess
) -> None:
    """From the shell and, when the shell has ended, from the kernel."""
    job_id = _running(site, "wait")
    tell("SIGHUP twice to a worker with a job", site, job_id)
    worker.process.send_signal(signal.SIGHUP)
    until(lambda: "draining" in worker.text(), 10, saw=worker.text)
    worker.process.send_signal(signal.SIGHUP)

    assert worker.process.wait(15) == 0, worker.text()
    job = site.show(job_id)
    assert (job["state"], job["executions"][-1]["outcome"]) == ("queued", "preempted")


def test_sighup_of_the_celery_process_drains_it_and_the_next_goes_on(
    site: Site, worker: WorkerProcess
) -> None:
    job_id = _running(site, "wait")
    before = worker.celery
    tell("SIGHUP to the Celery process", site, job_id)
    os.kill(before, signal.SIGHUP)

    until(lambda: worker.celery not in (0, before), 30, saw=worker.text)
    until(lambda: site.training(job_id, 2), 30, saw=lambda: site.show(job_id))
    assert site.show(job_id)["executions"][0]["outcome"] == "preempted"
    # By itself, without a new command line of Celery's in between.
    assert "the Celery process ended with 0" in worker.text()
    site.cancel(job_id)


def test_sighup_that_nohup_ignores_is_ignored_by_every_process(site: Site) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        worker = site.worker("--slots", "1")
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with worker:
        job_id = _running(site, "wait")
        trainer = site.show(job_id)["worker"]["trainer_pid"]
        tell("SIGHUP to all processes of a worker under nohup", site, job_id)
        for pid in (worker.process.pid, worker.celery, trainer, site.live_factory()):
            os.kill(pid, signal.SIGHUP)

        # A drain would end the attempt within this time.
        later = site.show(job_id)["epochs_run"] + 10
        until(lambda: site.show(job_id)["epochs_run"] > later, 20, saw=worker.text)
        assert site.show(job_id)["attempts"] == 1
        site.cancel(job_id)


def test_a_celery_process_that_cannot_start_is_not_started_for_ever(site: Site) -> None:
    refused = site.worker("--slots", "tpu:0")

    assert refused.process.wait(30) == 2
    assert '"tpu:0" is not a slot' in refused.text()


def _running(site: Site, name: str) -> int:
    job_id = site.add(name)
    until(lambda: site.show(job_id)["device"], 20, saw=lambda: site.show(job_id))
    return job_id
