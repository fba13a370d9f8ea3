"""R20: a full disk, seen from the supervisor: what was good is kept, and the reason is told.

The trainer's own side is in `test_r20_full_disk.py`.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fornada import artifacts
from fornada.db.states import FailureCode
from tests.faults.databases import epochs_in_order
from tests.faults.disk import SmallDisk, as_root
from tests.faults.real import differences, outcome, submit_real
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import QUICK, Site, WorkerProcess

MIB = 2**20
# Longer than a lease.
FULL_S = 1.5 * float(QUICK["LEASE_S"])


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


def test_no_epoch_is_lost_while_the_disk_of_the_database_is_full(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path
) -> None:
    if not as_root(request):
        return
    with (
        SmallDisk(tmp_path / "disk", size_bytes=4 * MIB) as disk,
        Site(f"sqlite:///{disk.folder}/fornada.db", redis_server.url) as site,
        site.worker("--slots", "1") as worker,
    ):
        job_id = _training(site, worker)
        before = site.show(job_id)["epochs_run"]
        disk.fill()
        tell(f"the disk is full for {FULL_S:.0f} s", site, job_id)
        end = time.monotonic() + FULL_S
        until(lambda: time.monotonic() > end, FULL_S + 1)
        assert worker.celery
        disk.free()

        # Five epochs a second were trained meanwhile.
        expected = before + FULL_S / 0.2 * 0.6
        until(lambda: site.show(job_id)["epochs_run"] > expected, 30, saw=worker.text)
        tell("there is room again", site, job_id)
        epochs_in_order(site, job_id)
        job = site.show(job_id)
        assert (job["state"], job["attempts"], job["tries"]) == ("running", 1, 0)


def test_a_worker_whose_disk_holds_no_more_folders_leaves_the_job_in_its_queue(
    request: pytest.FixtureRequest, site: Site
) -> None:
    if not as_root(request):
        return
    with (
        SmallDisk(site.home / "artifacts", size_bytes=4 * MIB, files=200) as disk,
        site.worker("--slots", "1") as worker,
    ):
        assert site.wait(site.add("fine"))["state"] == "succeeded", worker.text()
        disk.fill_files()
        job_id = site.add("fine")
        until(site.unfit, 30, saw=worker.text)
        tell("no folder can be made", site, job_id)
        assert "No space left" in str(site.unfit()[worker.name])
        assert (site.state(job_id), site.show(job_id)["attempts"]) == ("queued", 0)
        disk.free()
        job = site.wait(job_id)
        assert (job["state"], job["attempts"], job["tries"]) == ("succeeded", 1, 0), worker.text()


@pytest.mark.timeout(600)
def test_a_training_whose_disk_is_full_fails_so_and_goes_on_from_what_it_kept(
    request: pytest.FixtureRequest, site: Site
) -> None:
    if not as_root(request):
        return
    with (
        SmallDisk(site.home / "artifacts", size_bytes=64 * MIB) as disk,
        site.keras_worker("--slots", "1") as worker,
    ):
        reference = site.wait(submit_real(site), timeout_s=120)
        job_id = submit_real(site)
        until(lambda: site.show(job_id)["epochs_run"] >= 3, 60, saw=worker.text)
        disk.fill()
        tell(f"{disk.free_bytes} bytes are free", site, job_id)
        job = site.wait(job_id, "queued", timeout_s=120)
        (failure,) = [each["failure"] for each in job["executions"]]
        tell(f"ended with {failure}", site, job_id)
        assert failure is not None
        assert failure["code"] == FailureCode.DISK_FULL
        # The other tries wait until the disk has room.
        until(site.unfit, 30, saw=worker.text)
        assert job["tries"] == 1, worker.text()
        assert job["best"] is not None
        best = artifacts.path(site.settings, job["best"]["uri"])
        assert best.stat().st_size == job["best"]["bytes"]
        kept = epochs_in_order(site, job_id)
        assert kept >= 3
        disk.free()

        again = site.wait(job_id, timeout_s=120)
        tell("tried again with room", site, job_id)
        assert again["state"] == "succeeded", (again["failure"], worker.text())
        assert again["attempts"] == 2
        assert again["executions"][-1]["resumed"] is not None
        assert differences(outcome(site, again), outcome(site, reference)) == []


def _training(site: Site, worker: WorkerProcess) -> int:
    job_id = site.add("wait")
    until(lambda: site.show(job_id)["epochs_run"] > 0, 30, saw=worker.text)
    return job_id
