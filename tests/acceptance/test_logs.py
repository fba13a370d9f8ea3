"""Logs from any host: byte for byte, through retries, lost databases, and a cap."""

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fornada import artifacts
from tests.acceptance.fleet import SOON_S, Fleet, command_of
from tests.acceptance.installed import PROGRAM, REPOSITORY, Fornada
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

# Bytes that a chattering stub logs an epoch: any bytes, so that no line and no letter is whole.
BYTES = 10_000
# So many of a fifth of a second each that a command has begun to read long before the end.
EPOCHS = 100


class Reader:
    """A command whose stdout and stderr go to files, so that not a byte is touched."""

    def __init__(self, fornada: Fornada, folder: Path, *words: object) -> None:
        self._stdout = folder / "stdout"
        self._stderr = folder / "stderr"
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [PROGRAM, *map(str, words)],
                cwd=REPOSITORY,
                env=fornada.environment,
                stdout=out,
                stderr=err,
            )

    def read(self) -> bytes:
        return self._stdout.read_bytes()

    def told(self) -> str:
        return self._stderr.read_text()

    def end(self) -> int:
        return self.process.wait(SOON_S)


def elsewhere(fleet: Fleet, folder: Path) -> Fornada:
    """The command on a host where the workers' folder of artifacts is not mounted."""
    return fleet.fornada.with_settings(FORNADA_ARTIFACTS=str(folder / "not-mounted"))


def stored(fleet: Fleet, job: int) -> bytes:
    """The logs of all attempts as their trainers wrote them."""
    document = fleet.site.show(job)
    folders = [
        artifacts.attempt_folder(fleet.site.settings, document["uid"], one["attempt"])
        for one in document["executions"]
    ]
    return b"".join((folder / "train.log").read_bytes() for folder in folders)


def said(reader: Reader, text: str) -> bool:
    return text in reader.told()


def kill_trainer(fleet: Fleet, job: int) -> None:
    document = fleet.site.show(job)
    print(f"trainer killed after epoch {document['epochs_run']} of attempt {document['attempts']}")
    os.kill(document["worker"]["trainer_pid"], signal.SIGKILL)


def test_a_log_is_followed_through_a_retry_from_here_and_from_elsewhere(
    fleet: Fleet, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "away").mkdir()
    job = fleet.submit(tmp_path, f"chatter-{BYTES}", epochs=15)
    here = Reader(fleet.fornada, tmp_path / "here", "logs", "-f", job)
    away = Reader(elsewhere(fleet, tmp_path), tmp_path / "away", "logs", "-f", job)
    fleet.runs(job, 4)
    kill_trainer(fleet, job)
    document = fleet.ended(job)
    assert (document["state"], document["attempts"]) == ("succeeded", 2)
    whole = stored(fleet, job)
    assert len(whole) > 15 * BYTES
    assert here.end() == 0
    assert here.read() == whole
    # All but what a killed trainer had written and nobody had sent yet is everywhere.
    assert away.end() == 0
    assert away.read() == whole
    for reader in (here, away):
        announced = [line for line in reader.told().splitlines() if ", attempt " in line]
        assert [line.split(", on ")[0] for line in announced] == [
            f"-- job {job}, attempt 1",
            f"-- job {job}, attempt 2",
        ]
    # Read again when all is over; one attempt alone.
    for fornada in (fleet.fornada, elsewhere(fleet, tmp_path)):
        words = [str(PROGRAM), "logs", str(job)]
        assert subprocess.check_output(words, env=fornada.environment) == whole
        second = subprocess.check_output([*words, "--attempt", "2"], env=fornada.environment)
        assert second.startswith(b"stub: ")
        assert whole.endswith(second)
        assert len(second) < len(whole)
    assert "has no attempt" not in fleet.fornada("logs", job, "--attempt", 3, code=5).stdout


def test_what_the_database_does_not_keep_is_told(fleet: Fleet, tmp_path: Path) -> None:
    job = fleet.submit(tmp_path, f"chatter-{5 * 2**20}", epochs=1)
    fleet.ended(job)
    whole = stored(fleet, job)
    kept = Reader(elsewhere(fleet, tmp_path), tmp_path, "logs", job)
    assert kept.end() == 0
    assert kept.read() == whole[: 4 * 2**20]
    assert "missing in the database: " in kept.told()
    assert "train.log" in kept.told()


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_come_back(
    fleet: Fleet, tmp_path: Path
) -> None:
    job = fleet.submit(tmp_path, "wait")
    reader = Reader(fleet.fornada, tmp_path, "logs", "-f", job)
    until(lambda: b"epoch 2" in reader.read(), SOON_S, saw=reader.told)
    reader.process.send_signal(signal.SIGINT)
    assert reader.end() == 130
    assert f"fornada logs -f {job}" in reader.told()
    assert fleet.site.state(job) == "running"
    fleet.fornada("cancel", job)
    fleet.ended(job)


def test_a_log_that_is_not_begun(fleet: Fleet, tmp_path: Path) -> None:
    job = fleet.submit(tmp_path, "idle", "--hold")
    assert f"job {job} is held and has no log yet" in fleet.fornada("logs", job, code=5).stderr
    fleet.fornada("cancel", job)
    told = fleet.fornada("logs", "-f", job, code=5).stderr
    assert f"job {job} is cancelled and began no log" in told


@pytest.fixture
def frail(redis_server: RedisServer) -> Iterator[tuple[PostgresServer, Fleet]]:
    """A fleet whose database is the test's own, to be ended and started again."""
    redis_server.client().flushall()
    with PostgresServer() as server, Site.on(server, redis_server.url) as site:
        site.queue = "default"
        with site.worker("--slots", "1", "--queues", "default", "--name", "oven"):
            yield server, Fleet(site, command_of(site))


def test_following_outlives_a_restart_of_the_database(
    frail: tuple[PostgresServer, Fleet], tmp_path: Path
) -> None:
    server, fleet = frail
    (tmp_path / "log").mkdir()
    (tmp_path / "progress").mkdir()
    job = fleet.submit(tmp_path, f"chatter-{BYTES}", epochs=EPOCHS)
    log = Reader(elsewhere(fleet, tmp_path), tmp_path / "log", "logs", "-f", job)
    progress = Reader(fleet.fornada, tmp_path / "progress", "wait", job)
    until(lambda: len(log.read()) > BYTES, SOON_S, saw=log.told)
    # Who never reached the database is told so, and not kept waiting.
    until(lambda: "epoch   1/" in progress.told(), SOON_S, saw=progress.told)
    print(f"database killed after epoch {fleet.site.show(job)['epochs_run']}")
    server.kill()
    for reader in (log, progress):
        until(partial(said, reader, "lost the database"), SOON_S, saw=reader.told)
    server.start()
    assert fleet.ended(job)["state"] == "succeeded"
    for reader in (log, progress):
        assert reader.end() == 0, reader.told()
        assert reader.told().count("lost the database") == 1
        assert reader.told().count("the database is back") == 1
    assert log.read() == stored(fleet, job)
    epochs = [line for line in progress.told().splitlines() if line.startswith("epoch ")]
    assert [int(line.split()[1].split("/")[0]) for line in epochs] == list(range(1, EPOCHS + 1))


def test_progress_goes_on_through_a_retry(fleet: Fleet, tmp_path: Path) -> None:
    job = fleet.submit(tmp_path, f"chatter-{BYTES}", epochs=15)
    progress = Reader(fleet.fornada, tmp_path, "wait", job)
    fleet.runs(job, 4)
    kill_trainer(fleet, job)
    fleet.ended(job)
    assert progress.end() == 0
    assert f"job {job}: attempt 2 on " in progress.told()
    shown = fleet.fornada("show", job).stdout
    assert "crashed" in shown
    # Once: among the attempts, and not again in what happened; of the log not a word.
    assert shown.count("without a verdict: SIGKILL") == 1
    told = fleet.fornada("show", job, "--events").stdout
    assert told.count("without a verdict: SIGKILL; queued again") == 1
    assert "its log ends with" not in shown + told
    assert "continues at epoch" in shown
