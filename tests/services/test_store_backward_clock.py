"""The database's clock was put back: what then lies in the future waits no longer than usual."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from fornada.db.clock import later, now, seconds_between
from fornada.db.queue import expiry, upkeep, verdicts, workers
from fornada.db.reads import documents, live
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job, UpkeepTurn, Worker
from tests.services import store

HOUR_S = 3600.0
PAUSE_S = 10.0
# Rounding of times, and the time that the test takes.
NEAR_S = 5.0


def put_back(database: Database) -> None:
    """Move every recorded time an hour ahead: the same as a clock that is put back by an hour."""
    columns = (
        (Job, (Job.c.lease_until, Job.c.not_before)),
        (Attempt, (Attempt.c.claimed_at,)),
        (Worker, (Worker.c.seen_at, Worker.c.drain_requested_at)),
        (UpkeepTurn, (UpkeepTurn.c.beat_at, UpkeepTurn.c.held_until)),
    )
    with database.begin() as connection:
        for table, times in columns:
            ahead = {time.name: later(time, HOUR_S) for time in times}
            connection.execute(update(table).values(ahead))


def correct(database: Database) -> float | None:
    return upkeep.correct_clock(database, more_than_s=30.0, pause_s=PAUSE_S)


@pytest.fixture
def lease(database: Database) -> int:
    """A job that runs on worker `w1`, which holds the upkeep, and was asked to drain."""
    job_id = store.running(database).job_id
    store.workers_up(database, "w1")
    workers.request_drain(database, "w1", "ana")
    assert upkeep.take(database, "w1", store.LONG_S)
    return job_id


def _ahead_s(database: Database, job_id: int) -> tuple[float | None, float | None]:
    times = seconds_between(now(), Job.c.lease_until), seconds_between(now(), Job.c.not_before)
    with database.read() as connection:
        lease, pause = connection.execute(select(*times).where(Job.c.id == job_id)).one()
        return lease, pause


def test_a_clock_that_runs_forward_changes_nothing(database: Database, lease: int) -> None:
    before = documents.job(database, lease)
    assert correct(database) is None
    assert documents.job(database, lease) == before


def test_without_any_beat_there_is_nothing_to_correct(database: Database) -> None:
    assert correct(database) is None


def test_a_lease_ends_after_its_whole_time(database: Database, lease: int) -> None:
    put_back(database)
    assert correct(database) == pytest.approx(HOUR_S, abs=NEAR_S)
    ahead_s, _ = _ahead_s(database, lease)
    assert ahead_s == pytest.approx(store.LEASE_S, abs=NEAR_S)
    assert expiry.expire_leases(database) == []
    assert correct(database) is None


def test_another_worker_does_the_upkeep_at_once(database: Database, lease: int) -> None:
    put_back(database)
    assert not upkeep.take(database, "w2", store.LONG_S)
    put_back(database)
    correct(database)
    assert upkeep.take(database, "w2", store.LONG_S)


def test_a_pause_is_as_long_as_it_was(database: Database, lease: int) -> None:
    fence = store.running(database)
    verdicts.finish(database, fence, store.CRASHED, pause_s=PAUSE_S)
    chosen = store.add(database, not_before=datetime.now(UTC) + timedelta(hours=3))
    _, before_s = _ahead_s(database, fence.job_id)
    assert before_s == pytest.approx(PAUSE_S, abs=NEAR_S)
    put_back(database)
    correct(database)
    _, pause_s = _ahead_s(database, fence.job_id)
    assert pause_s == pytest.approx(PAUSE_S, abs=NEAR_S)
    # What a person has chosen stays: it was moved by the hour above, and by nothing else.
    _, chosen_s = _ahead_s(database, chosen)
    assert chosen_s == pytest.approx(4 * HOUR_S, abs=NEAR_S)


def test_a_worker_that_was_seen_in_the_future_is_not_alive(database: Database, lease: int) -> None:
    assert [row["name"] for row in workers.alive(database, 30.0)] == ["w1"]
    put_back(database)
    assert workers.alive(database, 30.0) == []
    workers.beat(database, store.worker("w1"))
    assert [row["name"] for row in workers.alive(database, 30.0)] == ["w1"]


def test_a_worker_that_starts_again_was_not_asked_to_drain(database: Database, lease: int) -> None:
    put_back(database)
    again = store.worker("w1", pid=8)
    assert workers.register(database, again, within_s=None, begun_s=3.0)
    assert workers.beat(database, again) is False


def test_no_time_is_negative(database: Database, lease: int) -> None:
    put_back(database)
    (row,) = [job for job in live.alive(database) if job["id"] == lease]
    assert row["elapsed_s"] == 0.0
