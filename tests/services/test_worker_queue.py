"""A worker and its queue, on both databases; stub trainers stand in for Keras."""

import base64
import json
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest

from fornada import artifacts
from fornada.client.submission import new_job
from fornada.db.answers import ExecutionAnswer, SlotAnswer
from fornada.db.errors import JobNotFound
from fornada.db.queue import jobs, steering, workers
from fornada.db.queue.workers import WorkerFacts
from fornada.db.reads import references
from fornada.db.records import NewJob
from fornada.db.states import JobState, WorkerState
from fornada.spec import load
from fornada.stack import broker
from tests.processes import gone
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import REPOSITORY, Site, WorkerProcess, stub_job


@pytest.fixture(scope="module")
def worker(site: Site) -> Iterator[WorkerProcess]:
    """One worker with two slots, for the whole module: it has to take whatever comes."""
    with site.worker("--slots", "2") as running:
        yield running


@pytest.mark.usefixtures("worker")
def test_a_job_runs_from_wake_up_to_verdict(site: Site) -> None:
    job = site.wait(site.add("fine"))

    assert job["state"] == "succeeded"
    assert job["stop_reason"] == "completed"
    assert (job["epochs_run"], job["attempts"]) == (2, 1)
    folder = artifacts.attempt_folder(site.settings, job["uid"], 1)
    best = job["best"]
    assert artifacts.path(site.settings, best["uri"]) == folder / "best.keras"
    assert (best["bytes"], best["epoch"]) == (5, 1)
    assert (folder / "train.log").read_text() == "stub: fine\nepoch 1\nepoch 2\n"


def test_after_any_job_good_or_bad_the_next_is_taken(site: Site, worker: WorkerProcess) -> None:
    names = ["crash", "fine", "garble", "forge", "loop", "swell"] * 2 + ["fine", "fine"]
    # Without a second try: what is tested is the worker.
    ids = [site.add(name, retry_attempts=1) for name in names]

    ended = [site.wait(job_id) for job_id in ids]

    expected = {
        "fine": None,
        "crash": "CRASHED",
        "garble": "CRASHED",
        "swell": "CRASHED",
        "forge": "ARTIFACT_WRITE",
        "loop": "INTERNAL",
    }
    codes = [job["failure"] and job["failure"]["code"] for job in ended]
    assert codes == [expected[name] for name in names]
    assert all(job["attempts"] == 1 for job in ended)
    assert worker.process.poll() is None


@pytest.mark.usefixtures("worker")
def test_a_crash_names_the_signal_and_the_last_line_of_the_log(site: Site) -> None:
    message = site.wait(site.add("crash", retry_attempts=1))["failure"]["message"]

    assert "SIGSEGV" in message
    assert "stub: crash" in message


@pytest.mark.usefixtures("worker")
def test_a_model_that_is_not_there_is_no_success(site: Site) -> None:
    job = site.wait(site.add("forge", retry_attempts=1))

    assert job["state"] == "failed"
    assert "best.keras was reported" in job["failure"]["message"]


@pytest.mark.usefixtures("worker")
def test_a_folder_that_cannot_be_made_fails_the_job_alone(site: Site) -> None:
    new = stub_job("fine", site.queue, retry_attempts=1)
    site.settings.artifacts_folder.mkdir(exist_ok=True)
    (site.settings.artifacts_folder / new.uid).write_text("in the way")

    failure = site.wait(jobs.add(site.database, new, "test"))["failure"]

    assert failure["code"] == "ARTIFACT_WRITE"
    assert "could not begin" in failure["message"]
    assert site.wait(site.add("fine"))["state"] == "succeeded"


@pytest.mark.usefixtures("worker")
def test_cancel_stops_a_running_job_and_keeps_its_best_model(site: Site) -> None:
    job_id = site.add("wait")
    until(lambda: site.show(job_id)["epochs_run"] > 0, 20)
    trainer = site.show(job_id)["worker"]["trainer_pid"]

    assert steering.cancel(site.database, job_id, "test") is JobState.RUNNING
    job = site.wait(job_id, timeout_s=5)

    assert (job["state"], job["stop_reason"]) == ("cancelled", "cancelled")
    assert job["best"]["bytes"] == 5
    # It did what it was asked, and waits for another job.
    assert not gone(trainer)


@pytest.mark.usefixtures("worker")
def test_cancel_kills_what_listens_to_nothing(site: Site) -> None:
    job_id = site.add("hang")
    until(lambda: site.show(job_id)["device"], 20)
    trainer = site.show(job_id)["worker"]["trainer_pid"]

    steering.cancel(site.database, job_id, "test")
    # Asked, 3 s of grace, SIGTERM, 5 s, SIGKILL.
    job = site.wait(job_id, timeout_s=15)

    assert job["state"] == "cancelled"
    until(lambda: gone(trainer), 2)


@pytest.mark.usefixtures("worker")
def test_a_time_limit_ends_a_job(site: Site) -> None:
    job = site.wait(site.add("wait", time_limit_s=1.0), timeout_s=20)

    assert (job["state"], job["stop_reason"]) == ("failed", "time_limit")
    assert job["failure"]["code"] == "TIME_LIMIT"
    assert "time limit of 1 s" in job["failure"]["message"]
    assert f"`fornada retry {job['id']}`" in job["failure"]["message"]


def _ran_s(attempt: ExecutionAnswer) -> float:
    times = (attempt["claimed_at"], str(attempt["ended_at"]))
    begin, end = map(datetime.fromisoformat, times)
    return (end - begin).total_seconds()


def test_a_time_limit_counts_the_attempts_before(site: Site) -> None:
    limit_s = 6.0
    with Site(site.database_url, site.broker_url) as own:
        with own.worker("--slots", "1"):
            job_id = own.add("wait", time_limit_s=limit_s)
            until(lambda: own.show(job_id)["epochs_run"] >= 15, 30)
        assert own.state(job_id) == "queued"
        with own.worker("--slots", "1"):
            job = own.wait(job_id)
    first, second = map(_ran_s, job["executions"])
    assert job["stop_reason"] == "time_limit"
    assert first > 2.5
    # The second had less than the limit, with a tick and the time that it took to stop.
    assert second < limit_s - first + 2.0


@pytest.mark.usefixtures("worker")
def test_a_lost_wake_up_is_found_by_upkeep(site: Site) -> None:
    job_id = site.add("fine", wake=False)

    assert site.wait(job_id, timeout_s=10)["state"] == "succeeded"


def test_upkeep_wakes_as_many_as_there_are_idle_slots(site: Site, worker: WorkerProcess) -> None:
    # A worker that only its row knows: nobody takes its wake-ups, so they can be counted.
    elsewhere = f"{site.queue}-elsewhere"
    two: list[SlotAnswer] = [
        {"name": name, "gpu": False, "job": None} for name in ("cpu:0", "cpu:1")
    ]
    facts = WorkerFacts("other", "host", 1, two, [elsewhere], [], {}, WorkerState.IDLE)
    for _ in range(3):
        jobs.add(site.database, stub_job("fine", elsewhere), "test")

    workers.register(site.database, facts)
    until(lambda: site.publisher.queue_length(elsewhere) == 2, 10)
    # What waits already is not published again.
    for _ in range(2):
        workers.beat(site.database, facts)
        _wait_for_beat(site, worker)

    assert site.publisher.queue_length(elsewhere) == 2
    workers.gone(site.database, "other")


def test_a_busy_worker_leaves_wake_ups_to_others(
    site: Site, worker: WorkerProcess, redis_server: RedisServer
) -> None:
    # Found by upkeep: no task of Celery's holds these slots.
    running = [site.add("wait", wake=False) for _ in range(2)]
    try:
        for job_id in running:
            site.wait(job_id, "running")
        # The look that it took while it was idle still waits in Redis, a second at most.
        with redis_server.client() as client:
            until(lambda: client.info("clients")["blocked_clients"] == 0, 10)

        waiting = site.publisher.queue_length(site.queue) + 3
        for _ in range(3):
            site.publisher.publish(site.queue, None, None)
        for _ in range(2):
            _wait_for_beat(site, worker)

        assert site.publisher.queue_length(site.queue) == waiting
    finally:
        for job_id in running:
            steering.cancel(site.database, job_id, "test")
    until(lambda: site.publisher.queue_length(site.queue) == 0, 20)


@pytest.mark.usefixtures("worker")
def test_a_hundred_wake_ups_start_one_attempt(site: Site) -> None:
    new = stub_job("fine", site.queue)
    job_id = jobs.add(site.database, new, "test")
    for _ in range(100):
        site.publisher.publish(site.queue, new.uid, None)

    job = site.wait(job_id)
    until(lambda: site.publisher.queue_length(site.queue) == 0, 20)

    assert site.show(job_id) == job
    assert job["attempts"] == 1


@pytest.mark.usefixtures("worker")
def test_an_unknown_job_is_recorded_from_its_message(site: Site) -> None:
    new = replace(_digits(site), user="ana")

    for _ in range(2):
        site.publisher.publish(site.queue, new.uid, asdict(new))
    until(lambda: _known(site, new.uid), 20)

    job = site.wait(references.find(site.database, new.uid))
    assert (job["state"], job["user"], job["attempts"]) == ("succeeded", "ana", 1)
    assert job["spec"] == new.spec


@pytest.mark.usefixtures("worker")
def test_of_a_message_only_spec_and_user_are_believed(site: Site) -> None:
    # Names go to the terminals of others.
    forged = replace(_digits(site), name="x\x1b[2J", tags={"\x1b": "y"}, priority=10**30)
    loud = replace(_digits(site), user="ana\x1b[2J")

    for new in (loud, forged):
        site.publisher.publish(site.queue, new.uid, asdict(new))
    until(lambda: _known(site, forged.uid), 20)

    job = site.wait(references.find(site.database, forged.uid))
    assert (job["name"], job["tags"], job["priority"]) == (forged.spec["name"], {}, 0)
    assert not _known(site, loud.uid)


def test_garbage_in_the_queue_harms_nothing(
    site: Site, worker: WorkerProcess, redis_server: RedisServer
) -> None:
    running = site.add("wait")
    until(lambda: site.show(running)["epochs_run"] > 0, 20)
    celery = worker.celery
    with redis_server.client() as client:
        key = site.key
        for garbage in ("not json", "{}", "[1]", '{"body": 1, "properties": {}}'):
            client.lpush(key, garbage)
        client.lpush(key, _pickled(f"touch {site.home}/ran"))
    payloads: list[dict[str, object]] = [
        {"uid": "../../etc"},
        {"uid": 7},
        {"document": {}},
        {"x": 1},
    ]
    for payload in payloads:
        site.app.send_task(broker.TASK, kwargs=payload, queue=broker.queue(site.queue))
    forged = stub_job("forged", site.queue)
    site.publisher.publish(site.queue, forged.uid, asdict(forged))
    site.app.send_task("os.system", args=["true"], queue=broker.queue(site.queue))

    assert site.wait(site.add("fine"))["state"] == "succeeded"
    assert worker.celery == celery
    assert site.state(running) == "running"
    assert not (site.home / "ran").exists()
    assert not _known(site, forged.uid)
    steering.cancel(site.database, running, "test")
    site.wait(running)


def test_the_log_tells_of_jobs_and_never_of_passwords(site: Site, worker: WorkerProcess) -> None:
    job = site.wait(site.add("fine"))

    # Logged after the verdict is in the database.
    until(lambda: f"job {job['id']}/1: succeeded" in worker.text(), 10, saw=worker.text)
    for url in (site.database_url, site.broker_url):
        password = url.split("://:")[-1].split("@")[0].split(":")[-1]
        assert password not in worker.text()


def _wait_for_beat(site: Site, worker: WorkerProcess) -> None:
    def seen() -> str:
        rows = workers.alive(site.database, 60.0)
        return next(str(row["seen_at"]) for row in rows if row["name"] == worker.name)

    before = seen()
    until(lambda: seen() != before, 10)


class _Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def _pickled(command: str) -> str:
    """A message for our task whose body is a pickle."""
    return json.dumps(
        {
            "body": base64.b64encode(pickle.dumps(_Runs(command))).decode(),
            "content-encoding": "binary",
            "content-type": "application/x-python-serialize",
            "headers": {"task": broker.TASK, "id": "1", "lang": "py"},
            "properties": {
                "delivery_tag": "1",
                "delivery_info": {"exchange": "", "routing_key": "x"},
                "body_encoding": "base64",
            },
        }
    )


def _digits(site: Site) -> NewJob:
    """The example, for this site's queue."""
    queue = f"resources.queue={site.queue}"
    example = REPOSITORY / "specs" / "digits.yaml"
    return new_job(load(example, overrides=[queue], data_root=REPOSITORY, base=REPOSITORY))


def _known(site: Site, uid: str) -> bool:
    try:
        references.find(site.database, uid)
    except JobNotFound:
        return False
    return True


def test_the_home_holds_only_what_jobs_left(site: Site) -> None:
    assert {entry.name for entry in Path(site.home).iterdir() if entry.is_dir()} <= {
        "artifacts",
        "digests",
        "locks",
        "packs",
        "workers",
    }
