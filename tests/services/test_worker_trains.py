"""Real workers with real trainers: Keras, images, PostgreSQL and Redis."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fornada import artifacts
from fornada.db.queue import claims, steering, verdicts
from fornada.db.records import Failure, Verdict
from fornada.db.states import AttemptOutcome, FailureCode
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess
from tests.worker_training import SPEC, submit

# Long enough for any fault of ours to fall into it.
ENDLESS = 100_000


@pytest.fixture(scope="module")
def site(redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[Site]:
    """A database, a home and a queue for the module."""
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """One worker for all jobs of this module, good and bad."""
    with site.keras_worker("--slots", "1") as running:
        yield running


def test_a_spec_becomes_a_model_and_its_record(site: Site, worker: WorkerProcess) -> None:
    job = site.wait(submit(site, "digits", epochs=2), timeout_s=180)

    assert job["state"] == "succeeded", (job["failure"], worker.text())
    assert (job["epochs_run"], job["attempts"], job["backend"]) == (2, 1, "tensorflow")
    best = artifacts.path(site.settings, job["best"]["uri"])
    assert best.stat().st_size == job["best"]["bytes"]
    assert hashlib.sha256(best.read_bytes()).hexdigest() == job["best"]["sha256"]
    assert json.loads((best.parent / "evaluation.json").read_text()) == job["test"]
    assert sum(map(sum, job["test"]["confusion_matrix"])) == job["data"]["test"] == 500
    assert {file["kind"] for file in job["artifacts"]} == {
        *("best_model", "history", "evaluation", "spec", "environment", "log", "tensorboard"),
        "training_state",
    }
    assert job["worker"]["trainer_pid"] in site.trainers()


def test_a_killed_trainer_is_a_crash_that_goes_on_from_its_state(
    site: Site, worker: WorkerProcess
) -> None:
    crashed = _training(site)
    seen = site.show(crashed)["epochs_run"]

    os.kill(site.show(crashed)["worker"]["trainer_pid"], signal.SIGKILL)
    until(lambda: site.training(crashed, 2), 60, saw=worker.text)

    first, second = site.show(crashed)["executions"]
    assert (first["outcome"], first["failure"]["code"]) == ("crashed", "CRASHED")
    assert "SIGKILL" in first["failure"]["message"]
    assert second["resumed"]["epoch"] >= seen
    site.cancel(crashed)
    after = site.wait(submit(site, "next", epochs=1), timeout_s=180)
    assert after["state"] == "succeeded", worker.text()


def test_what_only_keras_knows_fails_with_its_code(site: Site, worker: WorkerProcess) -> None:
    bad = SPEC.replace("  - Flatten\n", "  - Flatten\n  - BatchNormalization: {{axis: 3}}\n")

    job = site.wait(submit(site, "bad", epochs=1, text=bad), timeout_s=180)

    assert job["failure"]["code"] == "MODEL_INVALID", worker.text()


@pytest.mark.usefixtures("worker")
def test_every_epoch_is_in_the_record_within_two_seconds(site: Site) -> None:
    job_id = _training(site)
    folder = artifacts.attempt_folder(site.settings, site.show(job_id)["uid"], 1)

    for _ in range(5):
        # A heading, and a line an epoch, written just before the trainer tells of it.
        ended = (folder / "history.csv").read_text().count("\n") - 1
        until(lambda: site.show(job_id)["epochs_run"] >= ended, 2.0)  # noqa: B023

    assert ended > 0
    steering.cancel(site.database, job_id, "test")
    site.wait(job_id)


@pytest.mark.usefixtures("worker")
def test_cancel_ends_a_training_within_its_grace(site: Site) -> None:
    job_id = _training(site)
    trainer = site.show(job_id)["worker"]["trainer_pid"]

    steering.cancel(site.database, job_id, "test")
    job = site.wait(job_id, timeout_s=10)

    assert job["state"] == "cancelled"
    assert job["best"]["epoch"] >= 1
    after = site.wait(submit(site, "after", epochs=1), timeout_s=60)
    assert (after["state"], after["worker"]["trainer_pid"]) == ("succeeded", trainer)


def test_a_trainer_cannot_read_what_its_supervisor_knows(site: Site, worker: WorkerProcess) -> None:
    job_id = _training(site)
    trainer = site.show(job_id)["worker"]["trainer_pid"]
    secrets = [site.database_url, site.broker_url, *_passwords(site)]

    environment = Path(f"/proc/{trainer}/environ").read_text(errors="replace")
    assert f"FORNADA_HOME={site.home}" in environment
    assert not [secret for secret in secrets if secret in environment]
    status = Path(f"/proc/{trainer}/status").read_text()
    assert "NoNewPrivs:\t1\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    # Another trainer is as open to it as it is to itself: the refusals below are no accident.
    assert _confined_read(f"/proc/{trainer}/environ") == "read"
    for pid in (worker.process.pid, worker.celery):
        for file in ("environ", "mem", "fd/0"):
            assert _confined_read(f"/proc/{pid}/{file}") == "PermissionError"
    steering.cancel(site.database, job_id, "test")
    site.wait(job_id)


def test_a_drain_stops_the_training_and_queues_the_job_again(
    site: Site, worker: WorkerProcess
) -> None:
    job_id = _training(site)

    assert worker.stop() == 0, worker.text()

    job = site.show(job_id)
    assert (job["state"], job["attempts"]) == ("queued", 1)
    assert site.processes() == []


def test_a_job_that_ran_out_of_memory_is_not_tried_three_times_where_it_cannot_fit(
    site: Site,
) -> None:
    # Training needs 900 million bytes, and the limit is 1 GiB, of which a trainer uses a third.
    large = SPEC.replace("  - Flatten\n", "  - Flatten\n  - Dense: {{units: 340000}}\n")
    large = large.replace("optimizer: SGD", "optimizer: Adam")
    with Site(site.database_url, site.broker_url) as other:
        job_id = submit(other, "large", epochs=1, text=large)
        wanted: dict[str, Any] = {"queues": [other.queue], "has_gpu": False, "lease_s": 60.0}
        claim = claims.claim(other.database, worker="gone", slot="cpu:0", host="gone", **wanted)
        assert claim is not None
        killed = Failure(FailureCode.HOST_OOM, "killed")
        first = Verdict(AttemptOutcome.CRASHED, failure=killed)
        assert verdicts.finish(other.database, claim.fence, first, pause_s=0.0) == "queued"
        with other.keras_worker("--slots", "1", FORNADA_MAX_MEMORY_BYTES=str(2**30)):
            job = other.wait(job_id, timeout_s=60)

    assert (job["state"], job["attempts"]) == ("failed", 2)
    assert job["failure"]["code"] == FailureCode.RESOURCE_LIMIT
    assert [one["failure"]["code"] for one in job["executions"]] == ["HOST_OOM", "RESOURCE_LIMIT"]
    # Refused before the model was made.
    assert job["executions"][1]["started_at"] is None


def _training(site: Site) -> int:
    job_id = submit(site, "endless", epochs=ENDLESS)
    until(lambda: site.show(job_id)["epochs_run"] > 0, 60, saw=lambda: site.show(job_id))
    return job_id


def _passwords(site: Site) -> list[str]:
    return [url.split("@")[0].rsplit(":", 1)[1] for url in (site.database_url, site.broker_url)]


def _confined_read(path: str) -> str:
    """What a process confined as a trainer is gets from a file: `read`, or its error's name."""
    code = (
        "import sys; from fornada.worker.trainer.process.confine import confine; confine()\n"
        "try: open(sys.argv[1], 'rb').read(1)\n"
        "except OSError as error: print(type(error).__name__)\n"
        "else: print('read')"
    )
    return subprocess.run(
        [sys.executable, "-P", "-c", code, path], capture_output=True, text=True, check=True
    ).stdout.strip()
