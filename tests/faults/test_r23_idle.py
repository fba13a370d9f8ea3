"""R23: what is killed while it waits is replaced, and runs the next job."""

import os
import signal
import time

from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site


def test_r23_a_killed_factory_is_replaced(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1") as worker,
    ):
        factory = site.live_factory()
        os.kill(factory, signal.SIGKILL)
        print("R23: the factory is killed, the worker is idle")

        until(lambda: site.factories() not in ([], [factory]), 20, saw=site.living)
        job = site.wait(site.add("fine"))

        assert (job["state"], job["attempts"]) == ("succeeded", 1), worker.text()


def test_r23_a_warm_trainer_that_is_killed_is_replaced(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1") as worker,
    ):
        warm = site.wait(site.add("fine"))["worker"]["trainer_pid"]
        os.kill(warm, signal.SIGKILL)
        print("R23: the trainer that waits for its second job is killed")

        job = site.wait(site.add("fine"))

        assert (job["state"], job["attempts"]) == ("succeeded", 1), worker.text()
        assert job["worker"]["trainer_pid"] != warm


def test_r23_an_idle_celery_process_is_replaced(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1") as worker,
    ):
        before = worker.celery
        os.kill(before, signal.SIGKILL)
        killed = time.monotonic()
        job_id = site.add("fine")

        job = site.wait(job_id, timeout_s=60)

        print(f"R23: the next job ended {time.monotonic() - killed:.1f} s after the kill")
        assert (job["state"], job["attempts"]) == ("succeeded", 1), worker.text()
        assert worker.celery not in (0, before)
