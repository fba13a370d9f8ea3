"""Leases and fences: an attempt that no longer holds its job changes nothing."""

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
    """Everything that the database keeps about a job."""
    return (
        documents.job(database, job_id),
        history.epochs(database, job_id),
        history.events(database, job_id),
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_an_ended_attempt_cannot_change_the_next_one(database: Database, write: Write) -> None:
    ended = store.running(database)
    verdicts.finish(database, ended, store.PREEMPTED)
    following = store.claim(database, worker="w2")
    assert following is not None
    attempts.record_epochs(database, following.fence, [store.epoch(1)])
    before = record(database, ended.job_id)
    with pytest.raises(Fenced) as fenced:
        write(database, ended)
    assert (fenced.value.job_id, fenced.value.attempt) == (ended.job_id, 1)
    assert record(database, ended.job_id) == before
    write(database, following.fence)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_lost_attempt_cannot_write(database: Database, write: Write) -> None:
    fence = store.expired(database)
    assert expiry.expire_leases(database) == [fence.job_id]
    before = record(database, fence.job_id)
    with pytest.raises(Fenced):
        write(database, fence)
    assert record(database, fence.job_id) == before


def test_a_job_without_tries_left_fails_when_its_attempt_is_lost(database: Database) -> None:
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


def test_a_job_with_a_cancel_request_is_cancelled_when_its_attempt_is_lost(
    database: Database,
) -> None:
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


def test_an_attempt_that_renews_before_upkeep_sees_its_old_lease_goes_on(
    database: Database,
) -> None:
    fence = store.expired(database)
    attempts.renew(database, fence, store.LEASE_S)
    assert expiry.expire_leases(database) == []
    assert verdicts.finish(database, fence, store.SUCCEEDED) is JobState.SUCCEEDED


def test_an_outage_of_the_database_ends_no_lease(database: Database) -> None:
    fence = store.expired(database)
    # A lease of normal length that ended long ago.
    attempts.renew(database, fence, store.LEASE_S)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE job SET lease_until = '2020-01-01 00:00:00.000000'")
    upkeep.take(database, "w1", ttl_s=1e6)
    # A negative `ttl_s` makes the time since the last beat look like a gap. This beat records it.
    upkeep.take(database, "w1", ttl_s=-1.0)
    assert expiry.expire_leases(database) == []
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE upkeep SET resumed_at = '2020-01-01 00:00:00.000000'")
    assert expiry.expire_leases(database) == [fence.job_id]
