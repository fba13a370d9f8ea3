"""A shipped log is whole whatever is cut on its way."""

from fornada import artifacts
from fornada.db.queue import logs
from tests.faults.databases import SOCKET
from tests.faults.proxy import Cut, Proxy, through
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site


def test_a_log_is_whole_though_the_answer_to_a_piece_of_it_was_lost(
    redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    with (
        Proxy(postgres_server.folder / SOCKET) as proxy,
        Site.on(postgres_server, redis_server.url) as site,
    ):
        # Of the worker alone: what the test itself asks is not cut.
        way = through(site.database_url, proxy)
        with site.worker("--slots", "1", FORNADA_DATABASE_URL=way) as worker:
            job_id = site.in_epoch(1, "chatter-2000", spec=_spec(60))
            for cut in range(1, 4):
                proxy.cut_at_commit(lambda sent: b"log_chunk" in sent, Cut.AFTER)
                until(lambda: len(proxy.commits) == cut, 20, saw=worker.text)  # noqa: B023
                print(f"cut {cut} in epoch {site.show(job_id)['epochs_run']}")
            assert site.wait(job_id, timeout_s=60)["attempts"] == 1

        chunks = logs.log_chunks(site.database, job_id, 1, 0)
        folder = artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], 1)
        assert b"".join(chunk.data for chunk in chunks) == (folder / "train.log").read_bytes()


def _spec(epochs: int) -> dict[str, object]:
    return {"name": "chatter-2000", "data": {"train": "Data"}, "fit": {"epochs": epochs}}
