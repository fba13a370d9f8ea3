"""What a worker costs its host while there is nothing to do."""

import os
import time
from pathlib import Path

from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

# Two rounds of upkeep at its default pace, in seconds; and of that time on a core, at most.
IDLE_S = 20.0
SHARE = 0.01
# The parent and the Celery process, without trainers, in bytes.
MOST_MEMORY = 150 * 10**6
AS_BY_DEFAULT = {
    "FORNADA_LEASE_S": "60",
    "FORNADA_UPKEEP_S": "10",
    "FORNADA_HEARTBEAT_S": "10",
}


def test_an_idle_worker_costs_next_to_nothing(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1", **AS_BY_DEFAULT) as worker,
    ):
        assert site.wait(site.add("fine"))["state"] == "succeeded"
        own = [worker.process.pid, worker.celery]
        processes = [*own, site.live_factory(), *site.trainers()]
        # What comes up in the first round of upkeep after a job is not idleness.
        _pass(IDLE_S / 2)
        before = sum(map(_cpu_s, processes))
        _pass(IDLE_S)
        spent_s = sum(map(_cpu_s, processes)) - before
        memory = sum(map(_resident, own))

    print(f"idle: {spent_s / IDLE_S:.2%} of a core, {memory / 1e6:.0f} MB")
    assert spent_s / IDLE_S < SHARE
    assert memory < MOST_MEMORY


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 5)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
