"""R5: a hundred copies of every wake-up start each job once."""

from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

COPIES = 100
SLOTS = 8


def test_r05_a_hundred_wake_ups_a_job_start_one_attempt_each(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with Site.on(postgres_server, redis_server.url) as site:
        ids = [site.add("wait-3", wake=False) for _ in range(2 * SLOTS)]
        for _ in range(COPIES):
            for job_id in ids:
                site.publish(job_id)
        print(f"R5: {site.publisher.queue_length(site.queue)} wake-ups for {len(ids)} jobs")

        with site.worker("--slots", str(SLOTS)) as worker:
            ended = [site.wait(job_id, timeout_s=90) for job_id in ids]
            until(lambda: site.publisher.queue_length(site.queue) == 0, 60)
            assert [site.show(job_id) for job_id in ids] == ended

        assert {(job["state"], job["attempts"]) for job in ended} == {("succeeded", 1)}
        print(f"R5: slots used: {sorted({job['worker']['slot'] for job in ended})}")
        for job_id in ids:
            assert worker.text().count(f"job {job_id}/1: claimed") == 1
            assert f"job {job_id}/2" not in worker.text()
