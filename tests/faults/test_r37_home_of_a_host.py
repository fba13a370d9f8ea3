"""R37: a home that is full or gone is told, fails no job, and the worker begins again by itself."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from os import kill
from pathlib import Path

import pytest

from fornada.stack import health
from tests.faults.disk import SmallDisk, as_root
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import PROGRAM, Site, WorkerProcess

WAITS = "the worker waits"


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


@pytest.mark.parametrize("of", ["bytes", "files"])
def test_a_worker_waits_for_room_in_its_home(
    request: pytest.FixtureRequest, site: Site, of: str
) -> None:
    if not as_root(request):
        return
    with SmallDisk(site.home / "home", size_bytes=2**20, files=50) as disk:
        if of == "bytes":
            disk.fill()
        else:
            disk.fill_files()
        worker = _worker(site)
        try:
            until(lambda: WAITS in worker.text(), 30, saw=worker.text)
            healthy, said = _check(site)
            tell(f"the check says: {said}", site)
            assert not healthy
            assert "No space left" in said
            artifacts = site.settings.artifacts_folder
            settings = replace(site.settings, home=disk.folder, artifacts=artifacts)
            findings = health.examine(settings)
            assert [one.what for one in findings if not one.well] == ["worker", "disk"]
            disk.free()
            worker.ready()
            assert site.wait(site.add("fine"))["state"] == "succeeded", worker.text()
            until(lambda: _check(site)[0], 30, saw=lambda: _check(site))
            assert worker.text().count(WAITS) == 1
            assert "Traceback" not in worker.text()
        finally:
            assert worker.stop() == 0


def test_a_home_that_is_removed_stops_no_running_job_and_starts_none(site: Site) -> None:
    home = site.home / "home"
    with _worker(site) as worker:
        job_id = site.in_epoch(2, "wait-60")
        shutil.rmtree(home)
        until(site.unfit, 30, saw=worker.text)
        assert str(home) in site.unfit()[worker.name]
        healthy, said = _check(site)
        tell(f"the home is gone; the check says: {said}", site, job_id)
        assert not healthy
        assert "does not exist" in said
        job = site.wait(job_id)
        assert (job["state"], job["attempts"], job["epochs_run"]) == ("succeeded", 1, 60)

        following = site.add("fine")
        _restart(site, worker, home)
        job = site.wait(following)
        assert (job["state"], job["attempts"], job["tries"]) == ("succeeded", 1, 0), worker.text()
        assert "Traceback" not in worker.text()


def test_a_worker_that_lost_its_home_while_it_had_no_process_waits_for_it(site: Site) -> None:
    home = site.home / "home"
    with _worker(site) as worker:
        shutil.rmtree(home)
        kill(worker.celery, signal.SIGKILL)
        until(lambda: WAITS in worker.text(), 30, saw=worker.text)
        job_id = site.add("fine")
        _restart(site, worker, home)
        assert site.wait(job_id)["state"] == "succeeded", worker.text()
        assert "Traceback" not in worker.text()


def test_a_worker_whose_home_is_replaced_saves_its_job_and_goes_on(site: Site) -> None:
    home = site.home / "home"
    with _worker(site) as worker:
        job_id = site.in_epoch(2, "wait-60")
        home.rename(site.home / "old")
        _restart(site, worker, home)
        job = site.wait(job_id, timeout_s=60)
        assert (job["state"], job["epochs_run"], job["tries"]) == ("succeeded", 60, 0)
        assert [each["outcome"] for each in job["executions"]] == ["preempted", "succeeded"]


def test_a_worker_that_waits_for_its_home_may_be_stopped(site: Site) -> None:
    home = site.home / "home"
    with _worker(site) as worker:
        shutil.rmtree(home)
        kill(worker.celery, signal.SIGKILL)
        until(lambda: WAITS in worker.text(), 30, saw=worker.text)
        assert worker.stop() == 0


def _worker(site: Site) -> WorkerProcess:
    """A worker whose home is a folder of the site's, and whose artifacts lie elsewhere."""
    return site.worker("--slots", "1", **_places(site))


def _places(site: Site) -> dict[str, str]:
    artifacts = str(site.settings.artifacts_folder)
    return {"FORNADA_HOME": str(site.home / "home"), "FORNADA_ARTIFACTS": artifacts}


def _restart(site: Site, worker: WorkerProcess, home: Path) -> None:
    """Make the home again, and wait until the worker runs in it."""
    home.mkdir()
    until(lambda: _check(site)[0], 60, saw=worker.text)
    until(lambda: not site.unfit(), 30, saw=worker.text)


def _check(site: Site) -> tuple[bool, str]:
    """What the health check of a container finds."""
    check = [str(PROGRAM), "--check"]
    environment = site.environment(**_places(site))
    done = subprocess.run(
        check, env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    return done.returncode == 0, done.stdout
