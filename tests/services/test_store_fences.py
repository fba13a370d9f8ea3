"""Leases and fences: an attempt that lost its job changes nothing."""

from collections.abc import Callable

import pytest

from fornada.db.errors import Fenced
from fornada.db.queue import attempts, expiry, steering, upkeep, verdicts
from fornada.db.reads import documents, history
from fornada.db.records import Fence
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.services import store

Write = Callable[[Database, Fence], object]
WRITES: dict[str, Write] = {
    "renew": lambda database, fence: attempts.renew(database, fence, store.LEASE_S),
    "requests": attempts.requests,
    "started": lambda database, fence: attempts.started(database, fence, store.STARTED),
    "record_epochs": lambda database, fence: attempts.record_epochs(
        database, fence, [store.epoch(1, store.best(1, 0.1))]
    ),
    "finish": lambda database, fence: verdicts.finish(database, fence, store.SUCCEEDED),
}


def record(database: Database, job_id: int) -> object:
    """All that is kept of a job."""
    return (
        documents.job(database, job_id),
        history.epochs(database, job_id),
        history.events(database, job_id),
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_zombie_changes_nothing_of_the_next_attempt(database: Database, write: Write) -> None:
    zombie = store.running(database)
    verdicts.finish(database, zombie, store.PREEMPTED)
    heir = store.claim(database, worker="w2")
    assert heir is not None
    attempts.record_epochs(database, heir.fence, [store.epoch(1)])
    before = record(database, zombie.job_id)
    with pytest.raises(Fenced) as fenced:
        write(database, zombie)
    assert (fenced.value.job_id, fenced.value.attempt) == (zombie.job_id, 1)
    assert record(database, zombie.job_id) == before
    write(database, heir.fence)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_lost_attempt_is_fenced(database: Database, write: Write) -> None:
    fence = store.expired(database)
    assert expiry.expire_leases(database) == [fence.job_id]
    before = record(database, fence.job_id)
    with pytest.raises(Fenced):
        write(database, fence)
    assert record(database, fence.job_id) == before


def test_a_lost_attempt_without_another_try_fails_its_job(database: Database) -> None:
    fence = store.expired(database, retry_attempts=1)
    expiry.expire_leases(database)
    shown = documents.job(database, fence.job_id)
    assert shown["state"] == "failed"
    assert shown["failure"]["code"] == "WORKER_LOST"
    assert "w1" in shown["failure"]["message"]
    assert shown["executions"][0]["outcome"] == "lost"
    assert shown["duration_s"] is not None
    last = history.events(database, fence.job_id)[-1]
    assert (last["kind"], last["actor"]) == ("failed", "upkeep")


def test_a_lost_attempt_of_a_job_to_cancel_cancels_it(database: Database) -> None:
    fence = store.expired(database)
    steering.cancel(database, fence.job_id, "bob")
    expiry.expire_leases(database)
    shown = documents.job(database, fence.job_id)
    assert (shown["state"], shown["failure"]) == ("cancelled", None)


def test_only_leases_that_ran_out_expire(database: Database) -> None:
    alive = store.running(database)
    late = store.expired(database)
    waiting = store.add(database)
    assert expiry.expire_leases(database) == [late.job_id]
    assert expiry.expire_leases(database) == []
    assert documents.job(database, alive.job_id)["state"] == "running"
    assert documents.job(database, waiting)["state"] == "queued"


def test_an_attempt_that_was_late_but_not_found_out_goes_on(database: Database) -> None:
    fence = store.expired(database)
    attempts.renew(database, fence, store.LEASE_S)
    assert expiry.expire_leases(database) == []
    assert verdicts.finish(database, fence, store.SUCCEEDED) is JobState.SUCCEEDED


def test_the_database_away_from_all_costs_nobody_the_lease(database: Database) -> None:
    fence = store.expired(database)
    # As long a lease as any, but long over.
    attempts.renew(database, fence, store.LEASE_S)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE job SET lease_until = '2020-01-01 00:00:00.000000'")
    upkeep.take(database, "w1", ttl_s=1e6)
    # A beat, then none for longer than the holder's time: whoever beats next knows of the gap.
    upkeep.take(database, "w1", ttl_s=-1.0)
    assert expiry.expire_leases(database) == []
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE upkeep SET resumed_at = '2020-01-01 00:00:00.000000'")
    assert expiry.expire_leases(database) == [fence.job_id]
