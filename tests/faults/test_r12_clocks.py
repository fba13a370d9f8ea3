"""R12: a worker's clock is an hour off, either way: no lease is stolen, none is immortal."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fornada.db.queue import steering
from tests.faults import clock
from tests.faults.telling import tell
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess

LEASE_S = float(QUICK["LEASE_S"])
# A lease, the beat of upkeep that sees its end, the pause before the next attempt, its start.
MOVED_S = LEASE_S + 15.0


@pytest.fixture
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """On the session's PostgreSQL."""
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


@pytest.mark.parametrize("hours", [1, -1])
def test_no_lease_is_stolen_and_none_immortal(site: Site, hours: int) -> None:
    with site.worker("--slots", "1", **clock.off_by(hours * clock.HOUR_S)) as one:
        job_id = _running(site, one)
        _is_off(one, hours)
        # Its clock is two hours from the other's, and it may do the upkeep while both live.
        with site.worker("--slots", "cpu", **clock.off_by(-hours * clock.HOUR_S)) as other:
            _pass(2 * LEASE_S)
            tell(f"held for two leases by a worker {hours:+d} h off, now killed", site, job_id)
            job = site.show(job_id)
            assert (job["attempts"], job["worker"]["name"]) == (1, one.name)

            due = site.add("fine", not_before=datetime.now(UTC) + timedelta(seconds=4))
            early = site.add("fine", not_before=datetime.now(UTC) + timedelta(minutes=30))
            one.kill()
            begin = time.monotonic()
            # The only one left to do the upkeep.
            until(lambda: site.show(job_id)["attempts"] == 2, MOVED_S, saw=other.text)
            tell(f"moved after {time.monotonic() - begin:.1f} s", site, job_id, due, early)
            _is_off(other, -hours)
            assert site.show(job_id)["worker"]["name"] == other.name
            steering.cancel(site.database, job_id, "test")
            assert site.wait(due)["attempts"] == 1
            assert site.state(early) == "queued"


def _running(site: Site, worker: WorkerProcess) -> int:
    job_id = site.add("wait")
    until(lambda: site.show(job_id)["epochs_run"] > 0, 30, saw=worker.text)
    return job_id


def _is_off(worker: WorkerProcess, hours: int) -> None:
    """See that its log is written at another time than ours."""
    said = datetime.fromisoformat(worker.text().splitlines()[-1].split()[0])
    assert abs(said - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(minutes=5)


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 1)
