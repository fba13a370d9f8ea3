"""A claim whose answer is lost is not left to its lease."""

from tests.faults.databases import proxied
from tests.faults.proxy import Cut
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

# Nobody waits for it.
LONG = {"FORNADA_LEASE_S": "3600", "FORNADA_HEARTBEAT_S": "10"}


def test_a_claim_whose_answer_was_lost_is_run_all_the_same(
    redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        proxied(postgres_server, site) as (proxy, way),
        site.worker("--slots", "1", **LONG, **way) as worker,
    ):
        proxy.cut_at_commit(lambda sent: b"INSERT INTO attempt " in sent, Cut.AFTER)
        job_id = site.add("fine")
        until(lambda: proxy.commits, 20, saw=worker.text)
        print(f"the claim's answer is lost: {site.state(job_id)}")

        job = site.wait(job_id, timeout_s=30)

        assert (job["state"], job["attempts"]) == ("succeeded", 1), worker.text()
        assert f"job {job_id}/1: claimed, though the answer was lost" in worker.text()
