"""A Celery process that hangs is noticed by its parent, said and started again; no other is."""

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from fornada.db.queue import workers
from fornada.db.reads import history
from fornada.worker.host.hangs import LOOP_S, SILENT_S
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import START_S, Site

# Nobody waits for it: what goes on does so because its worker came back.
LONG = {"FORNADA_LEASE_S": "3600", "FORNADA_HEARTBEAT_S": "10"}
# Longer than any limit of a watch, where there is time for it.
HUNG_S = 1.5 * LOOP_S if os.environ.get("FORNADA_TEST_FULL") else 20.0
# An answer that never ends, though each of its bytes comes in time.
ENDLESS = b"*2\r\n$1\r\nq\r\n$1000000\r\n"
BYTE_S = 2.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def site(redis: RedisServer, postgres_server: PostgresServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site.on(postgres_server, redis.url) as made:
        yield made


def test_a_celery_process_that_does_not_stir_is_replaced_and_its_job_goes_on(site: Site) -> None:
    with site.worker("--slots", "1", **LONG) as worker:
        job_id = site.in_epoch(5, "wait-20")
        frozen = worker.celery
        os.kill(frozen, signal.SIGSTOP)
        stopped = time.monotonic()
        print(f"stopped in epoch {site.show(job_id)['epochs_run']}")

        until(
            lambda: f"({frozen}) hangs: the process sends no heartbeat" in worker.text(),
            2 * SILENT_S,
        )
        print(f"told after {time.monotonic() - stopped:.1f} s")
        until(lambda: worker.celery not in (0, frozen), START_S, saw=worker.text)
        job = site.wait(job_id, timeout_s=START_S)

        print(
            f"{job['state']} as attempt {job['attempts']} {time.monotonic() - stopped:.1f} s after"
        )
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        assert [row["attempt"] for row in history.epochs(site.database, job_id)][:5] == [1] * 5


def test_a_worker_that_was_asked_to_drain_does_so_though_its_process_ends(site: Site) -> None:
    with site.worker("--slots", "1", **LONG) as worker:
        (name,) = [name for name, _ in site.alive()]
        os.kill(worker.celery, signal.SIGSTOP)
        asked = workers.request_drain(site.database, name, "ana")
        os.kill(worker.celery, signal.SIGKILL)
        print(f"asked {asked} to drain, and killed its Celery process before it saw that")

        until(lambda: worker.process.poll() is not None, START_S, saw=worker.text)

        assert worker.process.returncode == 0
        assert "asked from afar to drain" in worker.text()


def test_a_consumer_that_hangs_is_drained_and_replaced(site: Site, redis: RedisServer) -> None:
    with Trickle(redis.socket) as slow:
        through = Site(site.database_url, redis.url.replace(str(redis.socket), slow.path))
        with through, through.worker("--slots", "2", **LONG) as worker:
            job_id = through.in_epoch(5, "wait-600")
            hung = worker.celery
            slow.trickling.set()
            began = time.monotonic()
            print(f"an answer without end in epoch {through.show(job_id)['epochs_run']}")

            says = f"({hung}) hangs: the loop that takes wake-ups hangs"
            until(lambda: says in worker.text(), 2 * LOOP_S, saw=worker.text)
            print(f"told after {time.monotonic() - began:.1f} s")
            assert through.show(job_id)["attempts"] == 1
            slow.trickling.clear()
            until(lambda: through.training(job_id, 2), START_S, saw=worker.text)

            job = through.show(job_id)
            print(f"resumed from {job['executions'][1]['resumed']}")
            assert job["executions"][0]["outcome"] == "preempted"
            assert through.wait(through.add("fine"))["state"] == "succeeded"
            through.cancel(job_id)


def test_a_redis_that_hangs_is_no_fault_of_the_worker(site: Site, redis: RedisServer) -> None:
    with site.worker("--slots", "2", **LONG) as worker:
        job_id, celery = site.in_epoch(1, "wait"), worker.celery
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            back = time.monotonic() + HUNG_S
            taken = site.wait(site.add("fine", wake=False))
            until(lambda: time.monotonic() > back, HUNG_S + 1)
        finally:
            os.kill(redis.pid, signal.SIGCONT)
        assert site.wait(site.add("fine"), timeout_s=60)["state"] == "succeeded"

        print(f"Redis was stopped for {HUNG_S:.0f} s")
        assert taken["state"] == "succeeded"
        assert (worker.celery, site.show(job_id)["attempts"]) == (celery, 1)
        assert "hangs" not in worker.text()
        site.cancel(job_id)


class Trickle:
    """Passes on what Redis answers; once it trickles, whoever waits for a wake-up waits for ever.

    No timeout of a client ends that: each of its reads gets something.
    """

    def __init__(self, server: Path) -> None:
        self.trickling = threading.Event()
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="fx-", dir="/tmp")
        self.path = f"{self._folder.name}/redis.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(128)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                waits = threading.Event()
                for source, target, up in ((client, server, True), (server, client, False)):
                    run = threading.Thread(
                        target=self._pass, args=(source, target, waits, up), daemon=True
                    )
                    run.start()

    def _pass(
        self, source: socket.socket, target: socket.socket, waits: threading.Event, up: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                if up and b"BRPOP" in data:
                    waits.set()
                if not up and waits.is_set() and self.trickling.is_set():
                    self._trickle(target)
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()

    def _trickle(self, client: socket.socket) -> None:
        client.sendall(ENDLESS)
        while True:
            client.sendall(b"x")
            time.sleep(BYTE_S)
