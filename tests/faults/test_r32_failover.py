"""R32: PostgreSQL in recovery, and a failover to a standby and back: an outage, and nothing more.

A server in recovery answers reads and refuses writes. Twelve seconds, longer than the lease.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from tests.faults.databases import durable_site, epochs_in_order
from tests.faults.telling import tell
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess

AWAY_S = 12.0
NAME = "failing_over"


def undisturbed(site: Site, job_id: int, worker: WorkerProcess) -> None:
    """See that a job goes on in its first attempt, and that the worker reported an outage."""
    before = site.show(job_id)["epochs_run"]
    until(lambda: site.show(job_id)["epochs_run"] > before + 3, 30, saw=worker.text)
    job = site.show(job_id)
    assert (job["state"], job["attempts"], job["tries"]) == ("running", 1, 0), worker.text()
    epochs_in_order(site, job_id)
    assert "Traceback" not in worker.text()


@pytest.mark.timeout(300)
def test_r32_a_primary_in_recovery_ends_no_job(
    postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        durable_site(postgres, redis_server.url) as site,
        site.worker("--slots", "2") as worker,
    ):
        job_id = site.add("wait")
        until(lambda: site.show(job_id)["epochs_run"] > 3, 30, saw=worker.text)
        tell(f"PostgreSQL refuses writes for {AWAY_S:.0f} s", site, job_id)
        postgres.stop()
        postgres.stand_by()
        postgres.start()
        time.sleep(AWAY_S)
        assert worker.process.poll() is None, worker.text()
        postgres.promote()
        tell("PostgreSQL takes writes again", site, job_id)
        undisturbed(site, job_id, worker)
        other = site.add("fine")
        assert site.wait(other)["attempts"] == 1


@pytest.mark.timeout(300)
def test_r32_a_job_outlives_a_failover_and_the_way_back(redis_server: RedisServer) -> None:
    with primary_and_standby() as (first, second):
        first.execute(f"CREATE DATABASE {NAME}")
        hosts = "&host=".join(quote(str(server.folder), safe="") for server in (first, second))
        url = f"postgresql://fornada:{first.password}@/{NAME}?host={hosts}"
        with Site(url, redis_server.url) as site, site.worker("--slots", "1") as worker:
            job_id = site.add("wait")
            until(lambda: site.show(job_id)["epochs_run"] > 3, 30, saw=worker.text)
            tell("the primary is stopped, and its standby promoted", site, job_id)
            # A server that was stopped can follow the new primary: it has nothing that was lost.
            first.stop()
            second.promote()
            undisturbed(site, job_id, worker)
            first.stand_by(second)
            first.start()
            synchronous(second)
            tell("the new primary is killed, and the old one promoted", site, job_id)
            second.kill()
            first.promote()
            undisturbed(site, job_id, worker)


@contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers, the second a standby of the first that confirms what the first commits."""
    first, second = PostgresServer(), PostgresServer()
    first.copy_to(second)
    second.stand_by(first)
    with first, second:
        synchronous(first)
        yield first, second


def synchronous(primary: PostgresServer) -> None:
    """Let a primary wait until its standby has what it commits: a failover then loses nothing."""
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.execute("SELECT pg_reload_conf()")

    def confirms() -> bool:
        with primary.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            return connection.execute(query).fetchone() == (1,)

    until(confirms, 60)
