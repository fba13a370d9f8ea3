"""What `doctor` says of workers that live."""

from dataclasses import replace

from fornada.db.answers import SlotAnswer
from fornada.db.queue import workers
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.stack import health
from tests.services import store


def devices(database: Database) -> health.Check:
    found = {one.what: one for one in health._workers(Settings(), database)}
    return found["devices"]


def test_what_jax_is_slow_at_is_told(database: Database) -> None:
    facts = store.worker(slots=[{"name": "cpu:0", "gpu": False, "job": None}])
    workers.register(database, facts)
    assert devices(database).todo == ""
    on_jax = replace(facts, name="w2", versions={"jax": "0.10.2"})
    workers.register(database, on_jax)
    told = devices(database)
    assert told.well
    assert told.todo.startswith("w2: ")
    slots: list[SlotAnswer] = [{"name": "gpu:0", "gpu": True, "job": None}]
    workers.register(database, replace(on_jax, slots=slots))
    assert devices(database).todo == ""


def test_a_worker_that_drains_takes_no_job(database: Database) -> None:
    workers.register(database, store.worker())
    workers.beat(database, store.worker(state=WorkerState.DRAINING))
    (worker,) = health._workers(Settings(), database)
    assert not worker.well
    assert "w1 (draining)" in worker.found


def test_a_worker_whose_host_cannot_run_jobs_is_told_with_the_reason(database: Database) -> None:
    unfit = store.worker(unfit="the disk is full")
    workers.register(database, unfit)
    (worker,) = health._workers(Settings(), database)
    assert not worker.well
    assert "the disk is full" in worker.found
    # Beside a worker that takes jobs, a job would run.
    workers.register(database, store.worker("w2"))
    found = health._workers(Settings(), database)
    assert all(one.well for one in found)
    assert any("the disk is full" in one.found and one.todo for one in found)
