"""R6: there is nothing from which a broker could deliver a job's wake-up twice."""

from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

# Kombu redelivers what stands in one of these for longer than its visibility timeout.
BOOKS = ("unacked", "unacked_index", "unacked_mutex")


def test_r06_a_running_job_stands_in_no_book_of_the_broker(postgres_server: PostgresServer) -> None:
    with (
        RedisServer() as redis,
        Site.on(postgres_server, redis.url) as site,
        site.worker("--slots", "1") as busy,
        redis.client() as client,
    ):
        job_id = site.add("wait")
        until(lambda: site.show(job_id)["epochs_run"] > 3, 30)
        # Another consumer would be the one that redelivers.
        with site.worker("--slots", "1") as idle:
            until(lambda: site.show(job_id)["epochs_run"] > 60, 60)
            keys = sorted(key.decode() for key in client.keys("*"))
            print(f"R6: in epoch {site.show(job_id)['epochs_run']} Redis holds {keys}")
            assert not [key for key in keys if any(book in key for book in BOOKS)]
            assert site.show(job_id)["attempts"] == 1
            assert f"job {job_id}/" not in idle.text()
        assert busy.text().count(f"job {job_id}/") == 1
        site.cancel(job_id)
