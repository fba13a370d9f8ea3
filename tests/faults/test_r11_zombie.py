"""R11: an attempt that comes back after it was replaced changes no row and no file."""

import os
import signal
from hashlib import sha256
from pathlib import Path

from fornada import artifacts
from fornada.db.queue import logs
from fornada.db.reads import history
from tests.processes import gone
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site


def test_r11_a_zombie_changes_nothing_of_the_attempt_that_replaced_it(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with (
        Site.on(postgres_server, redis_server.url) as site,
        site.worker("--slots", "1") as one,
        site.worker("--slots", "1") as another,
    ):
        job_id = site.in_epoch(5, "wait-30")
        found = site.show(job_id)["worker"]
        first, second = (one, another) if found["name"] == one.name else (another, one)
        zombie = [first.process.pid, first.celery, found["trainer_pid"]]
        for pid in zombie:
            os.kill(pid, signal.SIGSTOP)
        print(f"R11: stopped in epoch {site.show(job_id)['epochs_run']}")
        job = site.wait(job_id, timeout_s=60)
        assert (job["state"], job["attempts"]) == ("succeeded", 2)
        assert job["worker"]["name"] == second.name
        folder = artifacts.attempt_folder(site.settings, job["uid"], 2)
        # Removed once the verdict is on record.
        until(lambda: not list(folder.glob("best-*.keras")), 5)
        before = _all_of_it(site, job_id)

        for pid in zombie:
            os.kill(pid, signal.SIGCONT)
        until(lambda: f"job {job_id}/1: lost the job" in first.text(), 20, saw=first.text)
        until(lambda: gone(found["trainer_pid"]), 5)

        assert _all_of_it(site, job_id) == before
        print("R11: every file and row of attempt 2 is as it was")
        assert site.wait(site.add("fine"))["state"] == "succeeded"


def _all_of_it(site: Site, job_id: int) -> tuple[object, ...]:
    """Every row of the job, and the content of every file of its second attempt."""
    job = site.show(job_id)
    folder = artifacts.attempt_folder(site.settings, job["uid"], 2)
    files = {file: _sha256(file) for file in folder.rglob("*") if file.is_file()}
    log = [logs.log_chunks(site.database, job_id, attempt, 0) for attempt in (1, 2)]
    epochs = history.epochs(site.database, job_id)
    return job, epochs, history.events(site.database, job_id), log, files


def _sha256(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()
