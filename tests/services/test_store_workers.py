"""Workers: which are alive, which are asked to drain, and which one does the upkeep."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fornada.db.queue import steering, upkeep, workers
from fornada.db.reads import documents
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from tests.services import store


def test_a_worker_is_alive_while_it_beats(database: Database) -> None:
    workers.register(database, store.worker(slots=[store.CPU, store.GPU]))
    (shown,) = workers.alive(database, store.LONG_S)
    assert shown["seen_at"] >= shown["started_at"]
    for name in ("name", "host", "pid", "slots", "queues", "devices", "versions", "state"):
        assert shown[name] == getattr(store.worker(slots=[store.CPU, store.GPU]), name)

    workers.beat(database, store.worker(state=WorkerState.DRAINING))
    (again,) = workers.alive(database, store.LONG_S)
    assert again["state"] == "draining"
    assert again["slots"] == [store.CPU]
    assert again["started_at"] == shown["started_at"]
    assert again["seen_at"] >= shown["seen_at"]
    assert workers.alive(database, -1.0) == []

    workers.gone(database, "w1")
    assert workers.alive(database, store.LONG_S) == []


def test_a_worker_whose_host_cannot_run_jobs_says_why(database: Database) -> None:
    workers.register(database, store.worker(unfit="the disk is full"))
    (shown,) = workers.alive(database, store.LONG_S)
    assert (shown["state"], shown["unfit"]) == ("unfit", "the disk is full")
    # A drain says more: the worker does not come back by itself.
    workers.beat(database, store.worker(unfit="the disk is full", state=WorkerState.DRAINING))
    (shown,) = workers.alive(database, store.LONG_S)
    assert shown["state"] == "draining"
    workers.beat(database, store.worker())
    (shown,) = workers.alive(database, store.LONG_S)
    assert (shown["state"], shown["unfit"]) == ("idle", None)


def test_only_one_living_worker_registers_a_name(database: Database) -> None:
    def take(host: str, **more: Any) -> bool:
        facts = store.worker(host=host, pid=more.pop("pid", 7))
        return workers.register(database, facts, **{"within_s": store.LONG_S} | more)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(take, "abcd"))
    assert sorted(found) == [False, False, False, True]
    (row,) = workers.alive(database, store.LONG_S)
    assert row["host"] == "abcd"[found.index(True)]

    # The same process may register again, as after a lost answer. Another process of its host may
    # not, unless the first one is known to have ended.
    assert take(row["host"])
    assert not take(row["host"], pid=9)
    assert not take("e", instead_of=(row["host"], 8))
    assert take("e", instead_of=(row["host"], 7))
    # The name is free when its worker was last seen too long ago, or has ended.
    assert take("f", within_s=-1.0)
    workers.gone(database, "w1")
    assert take("g")


def test_a_beat_adds_a_worker_without_a_row(database: Database) -> None:
    workers.beat(database, store.worker())
    assert [worker["name"] for worker in workers.alive(database, store.LONG_S)] == ["w1"]


def test_a_worker_lists_its_running_jobs(database: Database) -> None:
    workers.register(database, store.worker())
    workers.register(database, store.worker("w2"))
    fence = store.running(database)
    running = {
        worker["name"]: worker["running"] for worker in workers.alive(database, store.LONG_S)
    }
    assert running == {"w1": [fence.job_id], "w2": []}
    assert documents.job(database, fence.job_id)["worker"]["host"] == "host-of-w1"


def test_idle_slots_by_queue(database: Database) -> None:
    assert workers.idle_slots(database, store.LONG_S) == {}
    workers.register(database, store.worker(slots=[store.CPU, {"name": "cpu:1"}]))
    workers.register(database, store.worker("w2", queues=["default", "night"]))
    workers.register(database, store.worker("w3", state="draining", queues=["night"]))
    assert workers.idle_slots(database, store.LONG_S) == {"default": 3, "night": 1}
    store.running(database)
    assert workers.idle_slots(database, store.LONG_S) == {"default": 2, "night": 1}
    assert workers.idle_slots(database, -1.0) == {}


def test_claimable_by_queue(database: Database) -> None:
    assert upkeep.claimable(database) == {}
    for queue in ("default", "default", "night"):
        store.add(database, queue=queue)
    assert upkeep.claimable(database) == {"default": 2, "night": 1}
    store.claim(database)
    steering.cancel(database, 3, "bob")
    assert upkeep.claimable(database) == {"default": 1}


def test_one_worker_does_the_upkeep(database: Database) -> None:
    assert upkeep.take(database, "w1", store.LONG_S)
    assert not upkeep.take(database, "w2", store.LONG_S)
    assert upkeep.take(database, "w1", store.LONG_S)


def test_another_worker_takes_the_upkeep_of_a_silent_holder(database: Database) -> None:
    assert upkeep.take(database, "w1", ttl_s=-1.0)
    assert upkeep.take(database, "w2", store.LONG_S)
    assert not upkeep.take(database, "w1", store.LONG_S)


def test_one_of_many_workers_that_ask_at_once_gets_the_upkeep(database_url: str) -> None:
    ready = threading.Barrier(8)
    won: list[str] = []

    def ask(name: str) -> None:
        own = Database(database_url)
        ready.wait()
        if upkeep.take(own, name, store.LONG_S):
            won.append(name)
        own.dispose()

    threads = [threading.Thread(target=ask, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_request_to_drain_lasts_until_the_worker_starts_again(database: Database) -> None:
    store.workers_up(database, "w1", "w2")
    assert not workers.beat(database, store.worker())
    assert workers.request_drain(database, "w1", "ana@laptop") == ["w1"]
    assert workers.beat(database, store.worker())
    assert not workers.beat(database, store.worker("w2"))
    shown = {worker["name"]: worker for worker in workers.alive(database, store.LONG_S)}
    assert shown["w1"]["drain_requested_by"] == "ana@laptop"
    assert shown["w1"]["drain_requested_at"] is not None
    assert shown["w2"]["drain_requested_by"] is None

    # The first person who asked stays recorded.
    assert workers.request_drain(database, "w1", "bob@laptop") == ["w1"]
    assert workers.alive(database, store.LONG_S)[0]["drain_requested_by"] == "ana@laptop"
    # The worker was begun before the request, and only its process is new: the request stays.
    workers.register(database, store.worker(pid=78), begun_s=store.LONG_S)
    assert workers.beat(database, store.worker(pid=78))
    assert workers.alive(database, store.LONG_S)[0]["drain_requested_by"] == "ana@laptop"
    workers.register(database, store.worker())
    assert not workers.beat(database, store.worker())
    assert workers.alive(database, store.LONG_S)[0]["drain_requested_by"] is None


def test_all_workers_of_a_host_are_asked_to_drain(database: Database) -> None:
    store.workers_up(database, "w1", "w2", host="big")
    store.workers_up(database, "w3")
    store.workers_up(database, "w4", host="big")
    workers.gone(database, "w4")
    assert workers.request_drain(database, "big", "ana") == ["w1", "w2"]
    assert not workers.beat(database, store.worker("w3"))
    assert workers.request_drain(database, "nobody", "ana") == []
    assert workers.request_drain(database, "w3", "ana", within_s=-1.0) == []
