"""R25: what a spec may not do is refused with its code, by the client, by message and by row."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from fornada.client.submission import new_job
from fornada.db.queue import jobs
from fornada.db.store.tables import Job
from fornada.spec import from_document
from tests.acceptance.installed import Fornada
from tests.servers import PostgresServer, RedisServer
from tests.services.hostile_specs import DOCUMENTS, GOOD, ROWS, write
from tests.until import until
from tests.worker_process import REPOSITORY, Site, WorkerProcess

# Rows that a trainer meets: of each code, what is worst.
TRAINED = [
    "a Dense of 10^12",
    "a function of Keras as an activation",
    "a vocabulary",
    "a model file",
    "too deep",
]
# What no client would write into a row, and a person with the database's password can.
SHAPES: dict[str, Any] = {
    "no mapping": ["a list"],
    "nothing": {},
    "resources that are a list": GOOD | {"resources": [1]},
}
# MiB that a trainer may ever hold: Keras and TensorFlow take some 600.
MOST_MIB = 2000


@pytest.fixture(scope="module")
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """Real trainers, two of them."""
    with site.keras_worker("--slots", "2") as running:
        yield running


@pytest.fixture(scope="module")
def fornada(site: Site) -> Fornada:
    """The command line of this site."""
    return Fornada(
        site.home,
        {
            "FORNADA_DATABASE_URL": site.database_url,
            "FORNADA_BROKER_URL": site.broker_url,
            "FORNADA_DATA_ROOT": str(REPOSITORY),
        },
    )


def count(site: Site) -> int:
    with site.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(Job)) or 0


def test_r25_the_command_line_refuses_every_row_at_once(
    site: Site, fornada: Fornada, tmp_path: Path
) -> None:
    files = {
        str(write(row, tmp_path / f"{number}.yaml", json.dumps)): row
        for number, row in enumerate(ROWS.values())
    }

    began = time.monotonic()
    found = fornada("check", "--json", *files, code=3).document["problems"]
    took = time.monotonic() - began
    said = fornada("submit", *files, code=3).stderr

    print(f"R25: {len(files)} files refused in {took:.1f} s with {len(found)} problems")
    assert {(one["file"], one["code"]) for one in found} == {
        (file, row.code) for file, row in files.items()
    }
    assert all(file in said for file in files)
    assert count(site) == 0
    # The promise is a second for each.
    assert took < len(files)


def test_r25_a_message_that_brings_a_hostile_spec_changes_nothing(
    site: Site, worker: WorkerProcess
) -> None:
    celery, before = worker.celery, count(site)
    good = replace(new_job(from_document(GOOD)), queue=site.queue)

    for row in DOCUMENTS.values():
        brought = asdict(replace(good, uid=new_job(from_document(GOOD)).uid))
        site.publisher.publish(site.queue, brought["uid"], brought | {"spec": row.document})
    until(lambda: site.publisher.queue_length(site.queue) == 0, 120, saw=worker.text)
    site.wait(jobs.add(site.database, good, "test"), timeout_s=180)

    print(f"R25: {len(DOCUMENTS)} messages taken, {count(site) - before - 1} jobs recorded of them")
    assert count(site) == before + 1
    assert worker.celery == celery
    assert worker.text().count("a wake-up brought an invalid spec") >= len(DOCUMENTS) - 2


def test_r25_a_row_with_a_hostile_spec_fails_with_its_code_and_the_worker_lives_on(
    site: Site, worker: WorkerProcess
) -> None:
    celery = worker.celery
    peaks: dict[int, int] = {}
    good = replace(new_job(from_document(GOOD)), queue=site.queue)
    added = {}
    for name in TRAINED:
        new = replace(good, uid=new_job(from_document(GOOD)).uid, name="hostile")
        added[name] = jobs.add(site.database, replace(new, spec=ROWS[name].document or {}), "x")

    def over() -> bool:
        for pid in site.trainers():
            peaks[pid] = max(peaks.get(pid, 0), _peak_mib(pid))
        return all(site.state(job_id) == "failed" for job_id in added.values())

    until(over, 240, saw=worker.text)
    for name, job_id in added.items():
        job = site.show(job_id)
        print(f"R25: {name}: {job['failure']['code']}, {job['attempts']} attempt(s)")
        assert (job["failure"]["code"], job["attempts"]) == (ROWS[name].code, 1), job["executions"]

    print(f"R25: most that a trainer held: {max(peaks.values())} MiB")
    assert max(peaks.values()) < MOST_MIB
    assert site.wait(jobs.add(site.database, good, "test"), timeout_s=180)["state"] == "succeeded"
    assert worker.celery == celery


def test_r25_a_row_with_a_spec_of_another_shape_fails_alone(
    site: Site, worker: WorkerProcess
) -> None:
    celery = worker.celery
    good = replace(new_job(from_document(GOOD)), queue=site.queue)

    added = {}
    for name, spec in SHAPES.items():
        new = replace(good, uid=new_job(from_document(GOOD)).uid, spec=spec)
        added[name] = jobs.add(site.database, new, "x")

    for name, job_id in added.items():
        job = site.wait(job_id, timeout_s=120)
        print(f"R25: {name}: {job['failure']}")
        assert (job["failure"]["code"], job["attempts"]) == ("SPEC_INVALID", 1)
    again = replace(good, uid=new_job(from_document(GOOD)).uid)
    assert site.wait(jobs.add(site.database, again, "test"), timeout_s=180)["state"] == "succeeded"
    assert worker.celery == celery


def _peak_mib(pid: int) -> int:
    """The most memory that a process has held."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return int(fields.get("VmHWM", "0 kB").split()[0]) // 1024


def test_r25_a_worker_with_less_room_refuses_what_a_client_accepts(site: Site) -> None:
    # With a queue of its own: the worker of the other tests has room.
    with (
        Site(site.database_url, site.broker_url) as small,
        small.keras_worker("--slots", "1", FORNADA_MAX_PARAMETERS="1000"),
    ):
        new = replace(new_job(from_document(GOOD)), queue=small.queue)
        job = small.wait(jobs.add(small.database, new, "test"), timeout_s=180)

    print(f"R25: {job['failure']}")
    assert job["failure"]["code"] == "RESOURCE_LIMIT"
    assert "FORNADA_MAX_PARAMETERS" in job["failure"]["message"]
