"""R33: two databases share a Redis, and no worker takes what belongs to the other database."""

from tests.servers import PostgresServer, RedisServer
from tests.worker_process import Site

JOBS = 20


def test_r33_a_worker_takes_no_wake_up_of_another_database(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as ours,
        Site.on(postgres_server, redis_server.url) as theirs,
    ):
        theirs.queue = ours.queue
        with ours.worker("--slots", "2") as worker:
            ids = [theirs.add("wait-1") for _ in range(JOBS)]
            # Its wake-up is the newest, so in one list all of theirs would be taken before it.
            assert ours.wait(ours.add("wait-1"))["state"] == "succeeded"
            assert theirs.publisher.queue_length(theirs.queue) == JOBS
            assert theirs.publisher.queue_length("other") == 0
            assert worker.text().count("claimed") == 1
        assert {theirs.state(job_id) for job_id in ids} == {"queued"}
        with theirs.worker("--slots", "2"):
            ended = [theirs.wait(job_id, timeout_s=60) for job_id in ids]
    assert {(job["state"], job["attempts"]) for job in ended} == {("succeeded", 1)}
