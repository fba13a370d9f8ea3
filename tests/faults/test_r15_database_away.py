"""R15: the database away longer than the lease: for all of the workers, or for one of them.

Hung for all and cut off for one; `FORNADA_TEST_FULL=1` adds killed for all, stalled for one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from fornada import artifacts
from fornada.db.queue import steering
from fornada.db.reads import history
from tests.faults.databases import durable_site, epochs_in_order, proxied
from tests.faults.telling import tell
from tests.processes import gone
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess

LEASE_S = float(QUICK["LEASE_S"])
AWAY_S = 1.5 * LEASE_S
# Each of the two in two ways; in CI in one.
FULL = os.environ.get("FORNADA_TEST_FULL") == "1"
# Two beats of upkeep, and well within a lease.
LATE_S = 2 * float(QUICK["UPKEEP_S"]) + 0.5
# After the end of its lease: upkeep's beats, and the pause before the next attempt.
MOVED_S = LEASE_S + 15.0


@pytest.fixture
def site(postgres: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """On that PostgreSQL."""
    with durable_site(postgres, redis_server.url) as made:
        yield made


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["hung", "killed"] if FULL else ["hung"])
def test_away_from_all_every_job_goes_on_and_none_twice(
    site: Site, postgres: PostgresServer, fault: str
) -> None:
    with (
        proxied(postgres, site) as (proxy, environment),
        proxied(postgres, site) as (late, late_environment),
        site.worker("--slots", "1", **late_environment) as first,
        ExitStack() as ends,
    ):
        ids = [_running(site, "wait", first)]
        second = ends.enter_context(site.worker("--slots", "cpu", **environment))
        ids.append(_running(site, "wait", second))
        waiting = site.add("fine")
        trainers = [site.show(each)["worker"]["trainer_pid"] for each in ids]
        before = [site.show(each)["epochs_run"] for each in ids]
        tell(f"PostgreSQL is {fault} for {AWAY_S:.0f} s", site, *ids, waiting)
        late.stall()
        if fault == "killed":
            postgres.kill()
        else:
            proxy.stall()
        _pass(AWAY_S)
        assert not any(map(gone, trainers))
        if fault == "killed":
            postgres.start()
        else:
            proxy.flow()
        # Long enough for its upkeep to find the other's lease, which is over.
        until(partial(_beyond, site, ids[1], before[1] + 1), 30, saw=second.text)
        _pass(LATE_S)
        tell("PostgreSQL is back for one worker", site, *ids, waiting)
        assert site.show(ids[0])["attempts"] == 1
        late.flow()

        # Five epochs a second were trained meanwhile.
        expected = AWAY_S / 0.2 * 0.6
        for job_id, seen in zip(ids, before, strict=True):
            until(partial(_beyond, site, job_id, seen + expected), 30, saw=second.text)
            epochs_in_order(site, job_id)
        # Longer than any lease that nobody renewed.
        _pass(LEASE_S + 2 * float(QUICK["UPKEEP_S"]))
        tell("PostgreSQL is back for a lease", site, *ids, waiting)
        for job_id, trainer in zip(ids, trainers, strict=True):
            job = site.show(job_id)
            assert (job["state"], job["attempts"], job["tries"]) == ("running", 1, 0)
            assert job["worker"]["trainer_pid"] == trainer
        assert site.state(waiting) == "queued"
        steering.cancel(site.database, ids[0], "test")
        site.wait(ids[0])
        assert site.wait(waiting)["attempts"] == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["cut", "stalled"] if FULL else ["cut"])
def test_cut_off_for_one_worker_its_job_moves_and_the_old_attempt_ends(
    site: Site, postgres: PostgresServer, fault: str
) -> None:
    with (
        proxied(postgres, site) as (proxy, environment),
        site.worker("--slots", "1", **environment) as alone,
    ):
        job_id = _running(site, "wait", alone)
        old = site.show(job_id)["worker"]["trainer_pid"]
        folder = artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], 1)
        with site.worker("--slots", "cpu") as other:
            tell(f"one worker is {fault} off", site, job_id)
            if fault == "cut":
                proxy.cut()
            else:
                proxy.stall()

            until(lambda: site.show(job_id)["attempts"] == 2, MOVED_S, saw=other.text)
            until(lambda: site.show(job_id)["epochs_run"] > 0, 30, saw=other.text)
            tell("the job has moved", site, job_id)
            job = site.show(job_id)
            assert job["worker"]["name"] == other.name
            assert [each["outcome"] for each in job["executions"]] == ["lost", None]
            if fault == "cut":
                proxy.open()
            else:
                proxy.flow()
            until(lambda: gone(old), LEASE_S, saw=alone.text)
            tell("the old attempt has ended", site, job_id)

            left = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
            count = site.show(job_id)["epochs_run"]
            until(lambda: site.show(job_id)["epochs_run"] > count + 5, 30, saw=other.text)
            assert {file: file.read_bytes() for file in left} == left
            rows = history.epochs(site.database, job_id)
            epochs_in_order(site, job_id)
            assert {row["attempt"] for row in rows} <= {1, 2}
            assert (site.state(job_id), site.show(job_id)["attempts"]) == ("running", 2)
            # It serves again.
            steering.cancel(site.database, job_id, "test")
            site.wait(job_id)
            both = [site.add("wait"), site.add("wait")]
            found = [site.wait(each, "running", timeout_s=MOVED_S) for each in both]
            assert {each["worker"]["name"] for each in found} == {alone.name, other.name}
            site.cancel(*both)


def _running(site: Site, name: str, worker: WorkerProcess) -> int:
    job_id = site.add(name)
    until(lambda: site.show(job_id)["epochs_run"] > 0, 30, saw=worker.text)
    return job_id


def _beyond(site: Site, job_id: int, epoch: float) -> bool:
    return bool(site.show(job_id)["epochs_run"] > epoch)


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end, seconds + 1)
