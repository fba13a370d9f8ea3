"""R37: a worker whose artifacts cannot be written, or are not the fleet's, claims no job."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fornada import fleet_marker
from fornada.cli.exit_codes import ExitCode
from fornada.db import migrations
from fornada.db.queue import workers
from fornada.db.reads import history, live
from fornada.db.reasons import WorkersUnfit
from tests.faults.databases import epochs_in_order
from tests.faults.disk import SmallDisk, as_root
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import PROGRAM, STUB, Site, WorkerProcess

JOBS = 8
BEGINS, ENDS = "takes no jobs", "takes jobs again"


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


def test_a_read_only_folder_fails_no_job_and_costs_none_a_try(
    request: pytest.FixtureRequest, site: Site
) -> None:
    if not as_root(request):
        return
    with (
        SmallDisk(site.settings.artifacts_folder, size_bytes=2**22) as disk,
        site.worker("--slots", "2") as worker,
    ):
        assert site.wait(site.add("fine"))["state"] == "succeeded", worker.text()
        _remount(disk.folder, "ro")
        _no_job_of_a_queue_is_lost(site, worker, lambda: _remount(disk.folder, "rw"))


def test_a_file_in_place_of_the_folder_fails_no_job(site: Site) -> None:
    with site.worker("--slots", "2") as worker, _replaced(site) as (folder, put_back):
        folder.rmdir()
        folder.write_text("in the way")
        _no_job_of_a_queue_is_lost(site, worker, put_back)


def test_every_command_says_why_a_worker_takes_no_jobs(site: Site) -> None:
    with site.worker("--slots", "1") as worker, _replaced(site) as (folder, put_back):
        folder.rmdir()
        folder.write_text("in the way")
        job_id = site.add("fine")
        until(site.unfit, 30, saw=worker.text)
        for words in (["worker", "ls"], ["doctor"], ["show", str(job_id)]):
            command = [str(PROGRAM.with_name("fornada")), *words]
            done = subprocess.run(
                command, env=site.environment(), check=False, capture_output=True, text=True
            )
            said = done.stdout + done.stderr
            assert str(folder) in said, words
            assert done.returncode == (ExitCode.NEVER_SCHEDULED if words == ["doctor"] else 0), said
        put_back()
        assert site.wait(job_id)["state"] == "succeeded"


def test_a_file_server_that_hangs_fails_no_job(site: Site) -> None:
    with site.worker("--slots", "2") as worker, _replaced(site) as (folder, put_back):
        # Whoever opens a pipe waits for another process to open its other end.
        pipe = folder / f".fornada-probe-{worker.name}"
        os.mkfifo(pipe)
        fleet = migrations.schema(site.database).fleet
        assert fleet is not None
        fleet_marker.write(folder, fleet)

        def answer() -> None:
            moved = pipe.rename(site.home / "pipe")
            put_back()
            os.close(os.open(moved, os.O_RDONLY | os.O_NONBLOCK))

        _no_job_of_a_queue_is_lost(site, worker, answer)


def test_no_attempt_trains_on_the_bare_folder_of_a_share_that_is_not_mounted(site: Site) -> None:
    with site.worker("--slots", "1") as first:
        job_id = site.in_epoch(3, "wait-40")
        first.kill()
    with _replaced(site) as (bare, put_back), site.worker("--slots", "1") as second:
        until(site.unfit, 30, saw=second.text)
        tell("the folder is empty", site, job_id)
        site.wait(job_id, "queued")
        _rounds(site, second, 2)
        assert (site.state(job_id), site.show(job_id)["attempts"]) == ("queued", 1)
        assert list(bare.iterdir()) == []
        put_back()
        job = site.wait(job_id, timeout_s=60)
        tell("the folder is back", site, job_id)
    assert (job["state"], job["attempts"]) == ("succeeded", 2), second.text()
    assert epochs_in_order(site, job_id) == 40
    # The second attempt trained the rest.
    assert {row["attempt"] for row in history.epochs(site.database, job_id)} == {1, 2}


def test_a_person_may_say_that_a_folder_is_the_right_one(site: Site) -> None:
    with site.worker("--slots", "1") as worker, _replaced(site):
        site.wait(site.add("fine"))
        # As after somebody removed all that the jobs had left.
        shutil.rmtree(site.settings.artifacts_folder)
        site.settings.artifacts_folder.mkdir()
        job_id = site.add("fine")
        until(site.unfit, 30, saw=worker.text)
        adopt = [str(PROGRAM), "--adopt-artifacts"]
        subprocess.run(adopt, env=site.environment(), check=True, timeout=60)
        assert site.wait(job_id)["attempts"] == 1


def test_a_job_that_was_claimed_before_the_folder_went_is_not_charged(site: Site) -> None:
    with site.worker("--slots", "1"):
        site.wait(site.add("fine"))
    gate = site.home / "gate"
    os.mkfifo(gate)
    # The factory that the job waits for imports nothing until somebody opens the gate.
    late = f'cat {shlex.quote(str(gate))}; exec {STUB} "$@"'
    command = shlex.join(["sh", "-c", late, "stub"])
    with site.worker("--slots", "1", FORNADA_TRAINER_COMMAND=command) as worker:
        job_id = site.add("fine")
        site.wait(job_id, "running")
        with _replaced(site) as (folder, put_back):
            folder.rmdir()
            gate.write_text("")
            job = site.wait(job_id, "queued")
            tell("its attempt has failed", site, job_id)
            assert (job["attempts"], job["tries"]) == (1, 0), worker.text()
            put_back()
            assert site.wait(job_id)["state"] == "succeeded", worker.text()
    job = site.show(job_id)
    assert (job["attempts"], job["tries"]) == (2, 0)


def _no_job_of_a_queue_is_lost(
    site: Site, worker: WorkerProcess, repair: Callable[[], None]
) -> None:
    """See that all jobs wait, untouched, until the folder is repaired, and then run."""
    ids = [site.add("fine") for _ in range(JOBS)]
    until(lambda: worker.name in site.unfit(), 30, saw=worker.text)
    why = live.waits(site.database, ids[0])["waits"]
    tell(f"they wait: {why}", site, ids[0])
    assert isinstance(why, WorkersUnfit)
    assert str(site.settings.artifacts_folder) in why.why
    # A slot that looks for a job by itself finds none, and neither does one that is woken.
    site.publish(ids[-1])
    _rounds(site, worker, 2)
    assert {site.state(job_id) for job_id in ids} == {"queued"}, worker.text()

    repair()
    for job_id in ids:
        job = site.wait(job_id)
        assert (job["state"], job["attempts"], job["tries"]) == ("succeeded", 1, 0), worker.text()
    until(lambda: not site.unfit(), 30)
    assert (worker.text().count(BEGINS), worker.text().count(ENDS)) == (1, 1), worker.text()


def _rounds(site: Site, worker: WorkerProcess, count: int) -> None:
    """Wait until a worker has done so many rounds of upkeep."""

    seen: set[str] = set()

    def enough() -> bool:
        rows = workers.alive(site.database, 10.0)
        seen.update(row["seen_at"] for row in rows if row["name"] == worker.name)
        return len(seen) > count

    until(enough, 30, saw=worker.text)


@contextmanager
def _replaced(site: Site) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Put an empty folder in place of the artifacts folder: it, and what puts the old one back."""
    folder = site.settings.artifacts_folder
    away = folder.rename(site.home / "away")
    folder.mkdir()

    def put_back() -> None:
        if folder.exists():
            folder.rename(site.home / "bare")
        away.rename(folder)

    yield folder, put_back


def _remount(folder: Path, how: str) -> None:
    command = ["mount", "-o", f"remount,{how}", str(folder)]
    subprocess.run(command, check=True)
