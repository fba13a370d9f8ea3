"""A worker whose trainers serve one job after the other; stubs stand in for Keras."""

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess, stub_spec

# A drain that had to wait for anything would wait for its grace, or for a trainer's own end.
AT_ONCE_S = 4.0
# A factory that imports for ever.
NEVER_READY = shlex.join((sys.executable, "-c", "import signal; signal.pause()"))


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    made = Site(sqlite_database_url, redis_server.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def serving(
    _sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Site]:
    """A site with a worker of one slot, which several tests use one after the other."""
    file = tmp_path_factory.mktemp("warm") / "fornada.db"
    shutil.copyfile(_sqlite_template, file)
    made = Site(f"sqlite:///{file}", redis_server.url)
    with made.worker("--slots", "1"):
        yield made
    made.close()


def test_a_trainer_serves_its_number_of_jobs_and_no_more(site: Site) -> None:
    with site.worker("--slots", "1", FORNADA_JOBS_PER_TRAINER="3"):
        pids = [_trainer(site, "fine") for _ in range(7)]

    assert pids == [pids[0]] * 3 + [pids[3]] * 3 + [pids[6]]
    assert len(set(pids)) == 3


def test_no_trainer_is_there_without_a_job_that_is_or_was(site: Site) -> None:
    with site.worker("--slots", "1", "--jobs-per-trainer", "2"):
        factory = site.live_factory()
        assert site.trainers() == []

        site.cancel(site.in_epoch(1, "wait"))
        assert len(site.trainers()) == 1
        site.wait(site.add("fine"))
        until(lambda: site.trainers() == [], 10, saw=site.living)
        assert site.factories() == [factory]


@pytest.mark.parametrize("bad", ["crash", "garble", "forge", "loop"])
def test_after_any_failure_the_next_job_has_another_trainer(serving: Site, bad: str) -> None:
    before = _trainer(serving, "fine")
    assert serving.wait(serving.add(bad, retry_attempts=1))["state"] == "failed"

    assert _trainer(serving, "fine") != before
    until(lambda: before not in serving.trainers(), 10, saw=serving.trainers)


def test_a_trainer_that_had_to_be_signalled_serves_no_other_job(site: Site) -> None:
    with site.worker("--slots", "1", FORNADA_GRACE_S="2"):
        job_id = site.in_epoch(1, "blunt")
        trainer = site.show(job_id)["worker"]["trainer_pid"]
        site.cancel(job_id)

        assert _trainer(site, "fine") != trainer


def test_a_deterministic_job_has_a_trainer_of_its_own(serving: Site) -> None:
    alone = stub_spec("fine") | {"reproducibility": "deterministic"}
    before = _trainer(serving, "fine")
    own = _trainer(serving, "fine", spec=alone)
    after = _trainer(serving, "fine")

    assert len({before, own, after}) == 3


def test_a_job_without_a_gpu_leaves_the_warm_trainer_of_a_gpu_slot_alone(site: Site) -> None:
    without = stub_spec("fine") | {"resources": {"gpus": 0}}
    with site.worker("--slots", "gpu:0"):
        before = _trainer(site, "fine")
        own = _trainer(site, "fine", spec=without, gpus="0")
        after = _trainer(site, "fine")

    assert before == after != own


def test_a_warm_trainer_that_dies_while_it_waits_is_replaced(site: Site) -> None:
    with site.worker("--slots", "1") as worker:
        warm = _trainer(site, "fine")
        os.kill(warm, signal.SIGKILL)

        assert _trainer(site, "fine") != warm
        assert "ended: SIGKILL" in worker.text()


def test_a_factory_that_dies_ends_no_job_and_is_replaced(site: Site) -> None:
    with site.worker("--slots", "2") as worker:
        running = site.in_epoch(1, "wait-20")
        trainer = site.show(running)["worker"]["trainer_pid"]
        first = site.live_factory()
        os.kill(first, signal.SIGKILL)

        assert _trainer(site, "fine") != trainer
        job = site.wait(running)
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert job["worker"]["trainer_pid"] == trainer
        assert site.live_factory() != first
        assert "ended: SIGKILL" in worker.text()


def test_a_job_is_stopped_while_it_waits_for_a_factory(site: Site) -> None:
    with site.worker("--slots", "1", FORNADA_TRAINER_COMMAND=NEVER_READY):
        cancelled = site.add("fine")
        site.wait(cancelled, "running")
        site.cancel(cancelled)
        assert site.state(cancelled) == "cancelled"

        drained = site.add("fine")
        site.wait(drained, "running")

    assert site.state(drained) == "queued"
    assert site.processes() == []


def test_a_job_whose_factory_ends_at_its_start_has_crashed(site: Site) -> None:
    with site.worker("--slots", "1", FORNADA_TRAINER_COMMAND=f"{sys.executable} -c exit(9)"):
        job = site.wait(site.add("fine", retry_attempts=2))

    assert (job["state"], job["attempts"]) == ("failed", 2)
    assert job["failure"]["code"] == "CRASHED"
    assert "exit status 9" in job["failure"]["message"]


def test_a_worker_drains_at_once_with_a_warm_trainer(site: Site) -> None:
    worker: WorkerProcess
    with site.worker("--slots", "1", FORNADA_GRACE_S="60") as worker:
        _trainer(site, "fine")
        asked = time.monotonic()
        assert worker.stop() == 0, worker.text()

    assert time.monotonic() - asked < AT_ONCE_S
    assert site.processes() == []


def test_a_stop_of_one_job_leaves_the_next_alone(serving: Site) -> None:
    for _ in range(10):
        stopped = serving.in_epoch(1, "wait")
        serving.cancel(stopped)
        after = serving.wait(serving.add("fine"))
        assert after["state"] == "succeeded"
        assert after["worker"]["trainer_pid"] == serving.show(stopped)["worker"]["trainer_pid"]


def _trainer(site: Site, name: str, **changes: Any) -> int:
    """Run a job; the process id of its trainer."""
    job = site.wait(site.add(name, **changes))
    assert job["state"] == "succeeded", job["failure"]
    return int(job["worker"]["trainer_pid"])
