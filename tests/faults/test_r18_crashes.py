"""R18: a job that crashes at every start fails after three, with the reason; others run on."""

import os
import signal
import time

from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site


def test_r18_a_job_that_crashes_at_every_start_fails_after_three(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "2") as worker,
    ):
        running = site.in_epoch(1, "wait")
        begin = time.monotonic()
        crashing = [site.add("crash"), site.add("crash")]
        fine = [site.wait(site.add("fine"))["attempts"] for _ in range(5)]
        ended = [site.wait(job_id, timeout_s=60) for job_id in crashing]

        print(f"R18: failed for good after {time.monotonic() - begin:.1f} s: {ended[0]['failure']}")
        for job in ended:
            assert (job["state"], job["attempts"]) == ("failed", 3)
            failure = job["failure"]
            assert failure["code"] == "CRASHED"
            assert "SIGSEGV" in failure["message"]
            assert failure["traceback"].endswith("stub: crash")
            assert [each["outcome"] for each in job["executions"]] == ["crashed"] * 3
            assert all(each["host"] for each in job["executions"])
        assert fine == [1] * 5
        assert site.show(running)["attempts"] == 1
        assert worker.process.poll() is None
        site.cancel(running)


def test_r18_a_job_that_crashes_twice_succeeds_with_its_third_attempt(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1"),
    ):
        job = site.wait(site.add("crash-2"), timeout_s=60)

        assert (job["state"], job["attempts"], job["failure"]) == ("succeeded", 3, None)


def test_r18_each_kill_of_a_trainer_costs_one_try_and_no_epoch(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1"),
    ):
        job_id = site.add("wait")
        for attempt in (1, 2, 3):
            until(lambda: site.training(job_id, attempt), 30, saw=lambda: site.show(job_id))  # noqa: B023
            seen = site.show(job_id)["epochs_run"]
            os.kill(site.show(job_id)["worker"]["trainer_pid"], signal.SIGKILL)
            print(f"R18: attempt {attempt} killed in epoch {seen + 1}")
        job = site.wait(job_id)

        assert (job["state"], job["failure"]["code"]) == ("failed", "CRASHED")
        assert "SIGKILL" in job["failure"]["message"]
        assert job["epochs_run"] >= seen
