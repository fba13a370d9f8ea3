"""R1: a wake-up that left Redis and reached nobody costs one round of upkeep, and nothing else."""

import os
import signal
import time

from fornada.db.queue import jobs
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess, stub_job

# A round of upkeep, and what two busy cores add to it.
FOUND_S = float(QUICK["UPKEEP_S"]) + 5.0


def test_r01_a_wake_up_that_died_with_its_worker_is_found_by_upkeep(
    postgres_server: PostgresServer,
) -> None:
    with (
        RedisServer() as redis,
        Site.on(postgres_server, redis.url) as site,
        site.worker("--slots", "1") as second,
    ):
        first = site.worker("--slots", "1").ready()
        new = stub_job("fine", site.queue)
        os.kill(second.celery, signal.SIGSTOP)
        _die_with_wake_up(site, redis, first, new.uid)
        job_id = jobs.add(site.database, new, "test")
        print(f"R1: the wake-up is lost, the job is {site.state(job_id)}")
        os.kill(second.celery, signal.SIGCONT)
        freed = time.monotonic()

        job = site.wait(job_id, timeout_s=FOUND_S)

        print(f"R1: it ran and ended {time.monotonic() - freed:.1f} s later")
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        assert job["worker"]["name"] == second.name


def _die_with_wake_up(site: Site, redis: RedisServer, first: WorkerProcess, uid: str) -> None:
    """Have Redis hand a wake-up to the first worker, which is stopped, and kill it."""
    with redis.client() as client:

        def waiting() -> bool:
            return bool(client.info("clients")["blocked_clients"] == 1)

        while True:
            # Its BRPOP ends after a second, also while it is stopped: this must be quick.
            until(waiting, 20)
            os.kill(first.celery, signal.SIGSTOP)
            site.publisher.publish(site.queue, uid, None)
            if site.publisher.queue_length(site.queue) == 0:
                break
            client.delete(site.key)
            os.kill(first.celery, signal.SIGCONT)
    first.kill()
    until(lambda: first.name not in [n for n, pid in site.alive() if pid in site.processes()], 5)
