"""R7: SIGKILL of a worker's processes leaves no trainer, and the job goes on from its state."""

import os
import signal
import time
from hashlib import sha256

import pytest

from fornada import artifacts
from fornada.db.queue import steering
from fornada.db.reads import history
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

TRAINER_GONE_S = 2.0


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_r07_a_killed_worker_leaves_no_trainer_and_its_job_resumes(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    kind: str,
) -> None:
    made = (
        Site.on(postgres_server, redis_server.url)
        if kind == "postgres"
        else Site(request.getfixturevalue("sqlite_database_url"), redis_server.url)
    )
    with made as site:
        worker = site.worker("--slots", "1").ready()
        job_id = site.in_epoch(5, "wait-40")
        seen = site.show(job_id)["epochs_run"]

        worker.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        worker.process.wait()
        until(lambda: not site.processes(), TRAINER_GONE_S, saw=site.processes)
        print(f"R7: killed in epoch {seen}, trainer gone after {time.monotonic() - killed:.2f} s")

        with site.worker("--slots", "1") as next_worker:
            job = site.wait(job_id, timeout_s=60)
            _went_on(site, job_id, seen)
            print(f"R7: {job['state']} as attempt {job['attempts']}")
            assert job["worker"]["name"] == next_worker.name


def test_r07_a_killed_celery_process_goes_on_with_its_job_at_once(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    # A lease that nobody would wait for.
    long = {"FORNADA_LEASE_S": "3600", "FORNADA_HEARTBEAT_S": "10"}
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1", **long) as worker,
    ):
        job_id = site.in_epoch(5, "wait-40")
        trainer = site.show(job_id)["worker"]["trainer_pid"]
        seen, before = site.show(job_id)["epochs_run"], worker.celery

        os.kill(before, signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: trainer not in site.processes(), TRAINER_GONE_S)
        print(f"R7: Celery killed in epoch {seen}, trainer gone {time.monotonic() - killed:.2f} s")

        job = site.wait(job_id, timeout_s=60)
        _went_on(site, job_id, seen)
        print(f"R7: {job['state']} {time.monotonic() - killed:.1f} s after")
        assert worker.celery != before
        assert "its attempt ended with the process before this one" in worker.text()


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGTERM, signal.SIGTERM]], ids=len)
def test_r07_the_next_worker_of_the_home_takes_the_job_of_a_killed_one_at_once(
    postgres_server: PostgresServer, redis_server: RedisServer, signals: list[signal.Signals]
) -> None:
    # A lease that nobody would wait for.
    long = {"FORNADA_LEASE_S": "3600", "FORNADA_HEARTBEAT_S": "10", "FORNADA_GRACE_S": "60"}
    with Site.on(postgres_server, redis_server.url) as site:
        worker = site.worker("--slots", "1", **long).ready()
        # A job that does not stop when it is asked to, so that the second signal finds it.
        hung = site.add("hang")
        site.wait(hung, "running")
        for each in signals:
            worker.process.send_signal(each)
            if each is signal.SIGTERM:
                until(lambda: "SIGTERM" in worker.text(), 10, saw=worker.text)
        worker.process.wait(20)
        until(lambda: not site.processes(), TRAINER_GONE_S, saw=site.processes)
        with site.neighbour() as elsewhere, elsewhere.worker("--slots", "1", **long) as other:
            # A worker of another home knows nothing of it, and must not take the job.
            elsewhere.wait(elsewhere.add("fine"))
            assert site.show(hung)["attempts"] == 1
            assert other.name not in str(site.show(hung)["worker"])
        with site.worker("--slots", "1", **long) as second:
            until(lambda: site.show(hung)["attempts"] == 2, 20, saw=second.text)
            job = site.show(hung)
            assert job["executions"][0]["outcome"] == "lost"
            assert job["worker"]["name"] == second.name != worker.name
            steering.cancel(site.database, hung, "test", grace_s=0.0)
            site.wait(hung)


def test_r07_a_job_that_is_lost_for_good_has_the_best_model_that_its_record_names(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with Site.on(postgres_server, redis_server.url) as site:
        worker = site.worker("--slots", "1").ready()
        job_id = site.in_epoch(5, "wait-40", retry_attempts=1)
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
        until(lambda: not site.processes(), TRAINER_GONE_S, saw=site.processes)
        # As by a trainer that was killed before it could tell of a better one.
        folder = artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], 1)
        (folder / "better").write_bytes(b"better")
        (folder / "better").replace(folder / "best.keras")

        with site.worker("--slots", "1"):
            job = site.wait(job_id, timeout_s=60)
            assert (job["state"], job["failure"]["code"]) == ("failed", "WORKER_LOST")
            best = artifacts.path(site.settings, job["best"]["uri"])
            print(f"R7: lost for good, and the best model is {best.name}")
            assert sha256(best.read_bytes()).hexdigest() == job["best"]["sha256"]


def _went_on(site: Site, job_id: int, seen: int) -> None:
    job, epochs = site.show(job_id), history.epochs(site.database, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2)
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 41))
    # What the first attempt trained was not trained again.
    assert sum(epoch["attempt"] == 1 for epoch in epochs) >= seen
