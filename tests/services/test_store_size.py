"""However many jobs wait, a claim and a beat of upkeep read no more."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import insert, literal, select

from fornada.db.clock import later, now
from fornada.db.queue import expiry, jobs, queues, steering, upkeep, workers
from fornada.db.reads import history
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Dependency, Job
from tests.services import store
from tests.services.effort import Effort

# Both more than a beat looks at.
MANY, THRICE = 2_100, 6_300
# Of either; a walk past those that do not fit has thousands.
SLACK = 500


def fill(database: Database, count: int, **values: Any) -> None:
    """As many jobs as this, all alike; none when the values say that they are older ones."""
    row = jobs.row_of(store.new_job()) | {"priority": 5} | values
    ours = {"submitted_at": now(), "not_before": row.pop("not_before")}
    uids = [store.new_job().uid for _ in range(count)]
    with database.begin() as connection:
        connection.execute(insert(Job).values(**ours), [row | {"uid": uid} for uid in uids])


def need_a_gpu(database: Database, count: int) -> None:
    """Nothing for a slot without one."""
    fill(database, count, gpus="1")


def in_a_paused_queue(database: Database, count: int) -> None:
    """Nothing for anybody."""
    queues.pause(database, "night", "ana")
    fill(database, count, queue="night")


def in_a_full_queue(database: Database, count: int) -> None:
    """Nothing until the job that runs there has ended."""
    if not queues.ls(database, store.LONG_S):
        queues.set_max_running(database, "night", 1, "ana")
        store.add(database, queue="night")
        assert store.claim(database, queues=["night"]) is not None
    fill(database, count, queue="night")


def wait_for_their_time(database: Database, count: int) -> None:
    """Nothing yet."""
    fill(database, count, not_before=later(now(), store.LONG_S))


def in_another_queue(database: Database, count: int) -> None:
    """Nothing for who does not serve it."""
    fill(database, count, queue="elsewhere")


def fit(database: Database, count: int) -> None:
    """Any of them would do."""
    fill(database, count)


@dataclass
class Waiting:
    """A database in which more and more jobs wait."""

    database: Database

    def __call__(self, how: Callable[[Database, int], None], call: Callable[[], Any]) -> None:
        """See that a call reads as much when thrice as many jobs wait."""
        how(self.database, MANY)
        effort = Effort(self.database)
        # What the first call prepares is no concern of ours.
        call()
        before = effort.of(call)
        how(self.database, THRICE - MANY)
        after = effort.of(call)
        print(f"{how.__name__}: {before}, then {after}")
        assert before > 0
        # Not thrice as much, unless that is next to nothing.
        assert after < 1.5 * before + SLACK


@pytest.fixture
def reads_no_more(database: Database) -> Waiting:
    """Asserts that a call reads no more when more jobs wait."""
    # It would change plans and what they read between the two counts.
    store.keep_autovacuum_out(database)
    return Waiting(database)


@pytest.mark.parametrize(
    "how",
    [
        need_a_gpu,
        in_a_paused_queue,
        in_a_full_queue,
        wait_for_their_time,
        in_another_queue,
        fit,
    ],
)
def test_a_claim_reads_no_more(
    database: Database, reads_no_more: Waiting, how: Callable[[Database, int], None]
) -> None:
    def claim() -> None:
        # Behind all the others, but for those that fit.
        store.add(database)
        assert store.claim(database, queues=["night", "default"]) is not None

    reads_no_more(how, claim)


@pytest.mark.parametrize("how", [need_a_gpu, wait_for_their_time])
def test_a_claim_that_finds_nothing_reads_no_more(
    database: Database, reads_no_more: Waiting, how: Callable[[Database, int], None]
) -> None:
    def claim() -> None:
        assert store.claim(database, queues=["night", "default"]) is None

    reads_no_more(how, claim)


def hold_after(database: Database, count: int) -> None:
    """All wait for one that runs."""
    if not queues.ls(database, store.LONG_S):
        store.running(database)
    fill(database, count, state=JobState.HELD)
    held = select(Job.id, literal(1), literal(False)).where(Job.state == JobState.HELD)
    new = held.where(~select(Dependency).where(Dependency.job_id == Job.id).exists())
    with database.begin() as connection:
        columns = ["job_id", "needs_id", "any_end"]
        connection.execute(insert(Dependency).from_select(columns, new))


@pytest.mark.parametrize(
    "how", [hold_after, need_a_gpu, in_a_paused_queue, wait_for_their_time, fit]
)
def test_a_beat_of_upkeep_reads_no_more(
    database: Database, reads_no_more: Waiting, how: Callable[[Database, int], None]
) -> None:
    workers.register(database, store.worker())

    def beat() -> None:
        assert upkeep.take(database, "w1", store.LONG_S)
        assert expiry.expire_leases(database) == []
        assert upkeep.release_due(database) == []
        upkeep.claimable(database)
        upkeep.forget_logs(database, store.LONG_S)
        workers.idle_slots(database, store.LONG_S)

    reads_no_more(how, beat)


def test_upkeep_comes_to_every_held_job(database: Database) -> None:
    from sqlalchemy import update

    good = store.running(database)
    waiting = [store.add(database, after=(good.job_id,)) for _ in range(5)]
    # Holds the place where it stopped.
    assert upkeep.take(database, "w1", store.LONG_S)
    # So that none of those that it looks at first is due.
    forever = store.running(database)
    with database.begin() as connection:
        first = Dependency.job_id.in_(waiting[:3])
        connection.execute(update(Dependency).where(first).values(needs_id=forever.job_id))
        # Not by the record's own means, which settle.
        ended = update(Job).where(Job.id == good.job_id)
        connection.execute(ended.values(state=JobState.SUCCEEDED))
    found = [upkeep.release_due(database, most=2) for _ in range(4)]
    assert found == [[], [waiting[3]], [waiting[4]], []]
    # And again from the first.
    steering.hold(database, waiting[4], "ana")
    with database.begin() as connection:
        connection.execute(update(Job).where(Job.id == waiting[4]).values(held_by=None))
    found = [upkeep.release_due(database, most=2) for _ in range(3)]
    assert [waiting[4]] in found
    assert [history.state(database, job_id) for job_id in waiting] == ["held"] * 3 + ["queued"] * 2


def test_upkeep_counts_no_more_than_there_can_be_slots(database: Database) -> None:
    fill(database, upkeep.MOST + 1)
    fill(database, 2, queue="night")
    fill(database, 1, queue="night", not_before=later(now(), -1.0))
    fill(database, 1, queue="night", not_before=later(now(), store.LONG_S))
    assert upkeep.claimable(database) == {"default": upkeep.MOST, "night": 3}
