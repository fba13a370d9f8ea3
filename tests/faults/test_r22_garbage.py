"""R22: whatever is pushed into the queue runs no code and changes no job; workers stay."""

import json
import os
import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from fornada.db.store.tables import Job
from tests.servers import PostgresServer, RedisServer
from tests.services.elements import element, hostile
from tests.until import until
from tests.worker_process import Site, WorkerProcess

# Elements for later: far more than any slot, few enough to push at once.
LATER = 200
# One line for each would be 600 KB.
FLOOD = 5_000


@pytest.fixture(scope="module")
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    with Site.on(postgres_server, redis_server.url) as made:
        yield made


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """Two slots: one with a job that runs through all of this, one for the others."""
    with site.worker("--slots", "2") as running:
        yield running


@pytest.fixture(scope="module")
def running(site: Site, worker: WorkerProcess) -> Iterator[int]:
    """A job that must not notice anything."""
    job_id = site.in_epoch(1, "wait")
    yield job_id
    document = site.show(job_id)
    assert (document["state"], document["attempts"]) == ("running", 1)
    site.cancel(job_id)


def push(site: Site, redis: RedisServer, *elements: str | bytes) -> None:
    with redis.client() as client:
        client.lpush(site.key, *elements)


def ids(site: Site) -> list[int]:
    """Every job there is."""
    with site.database.read() as connection:
        return list(connection.scalars(select(Job.c.id).order_by(Job.c.id)))


def test_r22_no_hostile_element_runs_code_changes_a_job_or_ends_a_worker(
    site: Site, worker: WorkerProcess, running: int, redis_server: RedisServer
) -> None:
    ran = site.home / "ran"
    celery, epochs, jobs = worker.celery, site.show(running)["epochs_run"], ids(site)

    for name, pushed in hostile(f"touch {ran}").items():
        push(site, redis_server, pushed)
        until(lambda: site.publisher.queue_length(site.queue) == 0, 10)
        print(f"R22: {name}: taken; Celery process {worker.celery}")
    taken = site.wait(site.add("fine"), timeout_s=10)

    print(f"R22: job {taken['id']} {taken['state']}; {running} went on from epoch {epochs}")
    assert taken["state"] == "succeeded"
    assert worker.celery == celery
    assert not ran.exists()
    assert ids(site) == [*jobs, taken["id"]]
    until(lambda: site.show(running)["epochs_run"] > epochs, 10)


def test_r22_no_element_makes_a_worker_hoard(
    site: Site, worker: WorkerProcess, running: int, redis_server: RedisServer
) -> None:
    celery = worker.celery
    later = element(payload={"uid": None}, eta="2099-01-01T00:00:00+00:00")
    push(site, redis_server, *[later] * LATER)

    # Each is a wake-up like any other: it finds nothing, and is gone.
    until(lambda: site.publisher.queue_length(site.queue) == 0, 60)
    taken = site.wait(site.add("fine"), timeout_s=10)

    print(f"R22: pushed {LATER} elements for the year 2099; job {taken['id']} {taken['state']}")
    assert worker.celery == celery
    assert "2099" not in worker.text()


@pytest.mark.usefixtures("running")
def test_r22_a_queue_named_like_a_key_of_kombus_harms_no_worker(
    site: Site, worker: WorkerProcess
) -> None:
    celery = worker.celery
    for queue in ("unacked", "unacked_index", "unacked_mutex", "_kombu.binding."):
        site.publisher.publish(queue, None, None)

    # With kombu's book each wake-up would have been written into one of these lists.
    taken = [site.wait(site.add("fine"), timeout_s=10) for _ in range(3)]

    print(f"R22: published to kombu's keys; {[job['state'] for job in taken]}")
    assert worker.celery == celery
    assert {job["attempts"] for job in taken} == {1}


def test_r22_the_log_of_a_worker_cannot_be_written_by_others(
    site: Site, worker: WorkerProcess, redis_server: RedisServer
) -> None:
    forged = "\n2026-01-01T00:00:00Z ERROR \x1b[2Jforged"
    push(site, redis_server, forged, element(task=forged), element(payload={"uid": forged}))
    push(site, redis_server, json.dumps({"headers": {"task": "x" * 100_000}}))

    site.wait(site.add("fine"), timeout_s=10)

    text = worker.text()
    assert "is not a wake-up" in text
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line.startswith("2026-01-01")]
    assert max(map(len, text.splitlines())) < 2000


def test_r22_a_flood_of_garbage_does_not_fill_the_log(
    site: Site, worker: WorkerProcess, running: int, redis_server: RedisServer
) -> None:
    before = len(worker.text())
    push(site, redis_server, *["garbage"] * FLOOD)

    until(lambda: site.publisher.queue_length(site.queue) == 0, 60)
    site.wait(site.add("fine"), timeout_s=10)

    written = len(worker.text()) - before
    print(f"R22: {FLOOD} elements of garbage; {written} characters of log")
    assert written < 10_000


def test_r22_garbage_that_comes_while_a_worker_ends_does_not_end_it_badly(
    site: Site, redis_server: RedisServer
) -> None:
    with site.worker("--slots", "cpu") as ending:
        # What it asked Redis for is answered while it looks at nothing; then it closes.
        until(lambda: _answered_unseen(site, redis_server, ending), 30, saw=ending.text)
        os.kill(ending.process.pid, signal.SIGTERM)
        until(lambda: "draining" in ending.text(), 10, saw=ending.text)
        print("R22: a worker has garbage to read and drains now")
        os.kill(ending.celery, signal.SIGCONT)

        assert ending.process.wait(20) == 0, ending.text()
        assert ending.name not in dict(site.alive()), ending.text()


def _answered_unseen(site: Site, redis: RedisServer, worker: WorkerProcess) -> bool:
    """Stop the Celery process; whether Redis then answers it with garbage. If not, go on."""
    os.kill(worker.celery, signal.SIGSTOP)
    push(site, redis, b"no json")
    if site.publisher.queue_length(site.queue) == 0:
        return True
    os.kill(worker.celery, signal.SIGCONT)
    until(lambda: site.publisher.queue_length(site.queue) == 0, 10, saw=worker.text)
    return False
