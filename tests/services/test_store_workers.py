"""Workers, upkeep, and why jobs wait."""

import threading
from typing import Any

import pytest

from db import history, jobs, upkeep, workers
from db.session import Database
from db.workers import WorkerFacts
from tests.services import store

CPU, GPU = {"name": "cpu:0"}, {"name": "gpu:0", "model": "H100"}
# Longer than any test.
LONG_S = 600.0


def facts(name: str = "w1", **changes: Any) -> WorkerFacts:
    """A worker with one CPU slot."""
    values: dict[str, Any] = {
        "name": name,
        "host": f"host-of-{name}",
        "pid": 77,
        "slots": [CPU],
        "queues": ["default"],
        "devices": ["cpu"],
        "versions": {"keras": "3.15.1"},
        "state": "idle",
    }
    return WorkerFacts(**(values | changes))


def test_a_worker_is_known_while_it_beats(database: Database) -> None:
    workers.register(database, facts(slots=[CPU, GPU]))
    (shown,) = workers.alive(database, LONG_S)
    assert shown["seen_at"] >= shown["started_at"]
    for name in ("name", "host", "pid", "slots", "queues", "devices", "versions", "state"):
        assert shown[name] == getattr(facts(slots=[CPU, GPU]), name)

    workers.beat(database, facts(state="busy"))
    (again,) = workers.alive(database, LONG_S)
    assert (again["state"], again["slots"]) == ("busy", [CPU])
    assert again["started_at"] == shown["started_at"]
    assert again["seen_at"] >= shown["seen_at"]
    assert workers.alive(database, -1.0) == []

    workers.gone(database, "w1")
    assert workers.alive(database, LONG_S) == []


def test_a_beat_brings_a_forgotten_worker_back(database: Database) -> None:
    workers.beat(database, facts())
    assert [worker["name"] for worker in workers.alive(database, LONG_S)] == ["w1"]


def test_a_worker_shows_what_it_runs(database: Database) -> None:
    workers.register(database, facts())
    workers.register(database, facts("w2"))
    fence = store.running(database)
    running = {worker["name"]: worker["running"] for worker in workers.alive(database, LONG_S)}
    assert running == {"w1": [fence.job_id], "w2": []}
    assert history.job(database, fence.job_id)["worker"]["host"] == "host-of-w1"


def test_idle_slots_by_queue(database: Database) -> None:
    assert workers.idle_slots(database, LONG_S) == {}
    workers.register(database, facts(slots=[CPU, {"name": "cpu:1"}]))
    workers.register(database, facts("w2", queues=["default", "night"]))
    workers.register(database, facts("w3", state="draining", queues=["night"]))
    assert workers.idle_slots(database, LONG_S) == {"default": 3, "night": 1}
    store.running(database)
    assert workers.idle_slots(database, LONG_S) == {"default": 2, "night": 1}
    assert workers.idle_slots(database, -1.0) == {}


def test_claimable_by_queue(database: Database) -> None:
    assert upkeep.claimable(database) == {}
    for queue in ("default", "default", "night"):
        store.add(database, queue=queue)
    assert upkeep.claimable(database) == {"default": 2, "night": 1}
    store.claim(database)
    jobs.cancel(database, 3, "bob")
    assert upkeep.claimable(database) == {"default": 1}


def test_one_does_the_upkeep(database: Database) -> None:
    assert upkeep.take(database, "w1", LONG_S)
    assert not upkeep.take(database, "w2", LONG_S)
    assert upkeep.take(database, "w1", LONG_S)


def test_the_upkeep_of_a_silent_holder_goes_to_the_next(database: Database) -> None:
    assert upkeep.take(database, "w1", ttl_s=-1.0)
    assert upkeep.take(database, "w2", LONG_S)
    assert not upkeep.take(database, "w1", LONG_S)


def test_one_of_many_gets_the_upkeep(database_url: str) -> None:
    ready = threading.Barrier(8)
    won: list[str] = []

    def ask(name: str) -> None:
        own = Database(database_url)
        ready.wait()
        if upkeep.take(own, name, LONG_S):
            won.append(name)
        own.dispose()

    threads = [threading.Thread(target=ask, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def waits(database: Database) -> dict[int, str | None]:
    """Why each queued job waits."""
    rows = history.alive(database, within_s=LONG_S)
    return {row["id"]: row["waits"] for row in rows if row["state"] == "queued"}


def test_no_worker_serves_the_queue(database: Database) -> None:
    job_id = store.add(database)
    assert waits(database) == {job_id: "NoWorker"}
    workers.register(database, facts(queues=["other"]))
    workers.register(database, facts("w2", state="draining"))
    assert waits(database) == {job_id: "NoWorker"}
    workers.register(database, facts())
    assert waits(database) == {job_id: None}
    assert history.alive(database, within_s=-1.0)[0]["waits"] == "NoWorker"


def test_no_worker_of_the_queue_has_a_gpu(database: Database) -> None:
    workers.register(database, facts())
    workers.register(database, facts("w2", queues=["other"], slots=[GPU]))
    job_id = store.add(database, gpus="1")
    assert waits(database) == {job_id: "NeedsGpu"}
    workers.register(database, facts("w3", slots=[GPU]))
    assert waits(database) == {job_id: None}


def test_slots_are_busy_and_others_come_first(database: Database) -> None:
    workers.register(database, facts())
    store.running(database)
    low = store.add(database, priority=-1)
    ids = [store.add(database) for _ in range(3)]
    assert waits(database) == {
        ids[0]: "SlotsBusy",
        ids[1]: "Priority(1 ahead)",
        ids[2]: "Priority(2 ahead)",
        low: "Priority(3 ahead)",
    }


def test_a_job_whose_time_has_not_come_is_delayed(database: Database) -> None:
    from sqlalchemy import update

    from db.clock import later, now
    from db.tables import Job

    workers.register(database, facts())
    job_id = store.add(database)
    with database.begin() as connection:
        connection.execute(update(Job).values(not_before=later(now(), LONG_S)))
    assert waits(database) == {job_id: "Delayed"}
    assert upkeep.claimable(database) == {}


def test_alive_shows_what_runs_first(database: Database) -> None:
    ended = store.running(database)
    jobs.finish(database, ended, store.SUCCEEDED)
    fence = store.running(database, priority=-5, tags={"a": "1"})
    high = store.add(database, priority=5)
    jobs.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5), loss=0.5)])
    jobs.cancel(database, fence.job_id, "bob")
    running, waiting = history.alive(database)
    assert (running["id"], waiting["id"]) == (fence.job_id, high)
    assert (running["epoch"], running["epochs"]) == (1, 3)
    assert (running["worker"], running["slot"]) == ("w1", "cpu:0")
    assert running["best"]["value"] == 0.5
    assert running["tags"] == {"a": "1"}
    assert running["cancel_requested"]
    # Two epochs of 1.5 s are left.
    assert running["eta_s"] == pytest.approx(3.0)
    assert running["elapsed_s"] >= 0.0
    assert (waiting["elapsed_s"], waiting["eta_s"], waiting["epoch"]) == (None, None, 0)
    assert len(history.alive(database, limit=1)) == 1
