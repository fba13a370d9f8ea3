"""A claim and a beat of upkeep read no more rows when more jobs wait."""

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

# Numbers of waiting jobs. Both are more than one beat of upkeep checks.
MANY, THRICE = 2_100, 6_300
# How much more effort is allowed. A query that reads all waiting jobs needs thousands more.
SLACK = 500


def fill(database: Database, count: int, **values: Any) -> None:
    """Insert `count` equal jobs with these column values."""
    row = jobs.row_of(store.new_job()) | {"priority": 5} | values
    times = {"submitted_at": now(), "not_before": row.pop("not_before")}
    uids = [store.new_job().uid for _ in range(count)]
    with database.begin() as connection:
        connection.execute(insert(Job).values(**times), [row | {"uid": uid} for uid in uids])


def add_gpu_jobs(database: Database, count: int) -> None:
    """Add jobs that a slot without a GPU cannot run."""
    fill(database, count, gpus="1")


def add_to_a_paused_queue(database: Database, count: int) -> None:
    """Add jobs that no slot may start."""
    queues.pause(database, "night", "ana")
    fill(database, count, queue="night")


def add_to_a_full_queue(database: Database, count: int) -> None:
    """Add jobs that may start only when the running job of their queue has ended."""
    if not queues.ls(database, store.LONG_S):
        queues.set_max_running(database, "night", 1, "ana")
        store.add(database, queue="night")
        assert store.claim(database, queues=["night"]) is not None
    fill(database, count, queue="night")


def add_for_later(database: Database, count: int) -> None:
    """Add jobs that may not start yet."""
    fill(database, count, not_before=later(now(), store.LONG_S))


def add_to_another_queue(database: Database, count: int) -> None:
    """Add jobs of a queue that the slot does not serve."""
    fill(database, count, queue="elsewhere")


def add_fitting_jobs(database: Database, count: int) -> None:
    """Add jobs that the slot can run."""
    fill(database, count)


@dataclass
class EffortCheck:
    """Measures a call twice, the second time with three times as many waiting jobs."""

    database: Database

    def __call__(
        self, add_waiting: Callable[[Database, int], None], call: Callable[[], Any]
    ) -> None:
        """Assert that the call does not read much more the second time."""
        add_waiting(self.database, MANY)
        effort = Effort(self.database)
        # The first call is not measured: it compiles and prepares statements.
        call()
        before = effort.of(call)
        add_waiting(self.database, THRICE - MANY)
        after = effort.of(call)
        print(f"{add_waiting.__name__}: {before}, then {after}")
        assert before > 0
        # `SLACK` allows that small counts grow more.
        assert after < 1.5 * before + SLACK


@pytest.fixture
def reads_no_more(database: Database) -> EffortCheck:
    """Asserts that a call reads no more when more jobs wait."""
    # Autovacuum could change the plans between the two measurements.
    store.keep_autovacuum_out(database)
    return EffortCheck(database)


@pytest.mark.parametrize(
    "add_waiting",
    [
        add_gpu_jobs,
        add_to_a_paused_queue,
        add_to_a_full_queue,
        add_for_later,
        add_to_another_queue,
        add_fitting_jobs,
    ],
)
def test_a_claim_reads_no_more(
    database: Database, reads_no_more: EffortCheck, add_waiting: Callable[[Database, int], None]
) -> None:
    def claim() -> None:
        # This job has a lower priority than the other waiting jobs.
        store.add(database)
        assert store.claim(database, queues=["night", "default"]) is not None

    reads_no_more(add_waiting, claim)


@pytest.mark.parametrize("add_waiting", [add_gpu_jobs, add_for_later])
def test_a_claim_that_finds_nothing_reads_no_more(
    database: Database, reads_no_more: EffortCheck, add_waiting: Callable[[Database, int], None]
) -> None:
    def claim() -> None:
        assert store.claim(database, queues=["night", "default"]) is None

    reads_no_more(add_waiting, claim)


def add_held_jobs(database: Database, count: int) -> None:
    """Add held jobs that all wait for one running job."""
    if not queues.ls(database, store.LONG_S):
        store.running(database)
    fill(database, count, state=JobState.HELD)
    held = select(Job.c.id, literal(1), literal(False)).where(Job.c.state == JobState.HELD)
    new = held.where(~select(Dependency).where(Dependency.c.job_id == Job.c.id).exists())
    with database.begin() as connection:
        columns = ["job_id", "needs_id", "any_end"]
        connection.execute(insert(Dependency).from_select(columns, new))


@pytest.mark.parametrize(
    "add_waiting",
    [add_held_jobs, add_gpu_jobs, add_to_a_paused_queue, add_for_later, add_fitting_jobs],
)
def test_a_beat_of_upkeep_reads_no_more(
    database: Database, reads_no_more: EffortCheck, add_waiting: Callable[[Database, int], None]
) -> None:
    workers.register(database, store.worker())

    def beat() -> None:
        assert upkeep.take(database, "w1", store.LONG_S)
        assert expiry.expire_leases(database) == []
        assert upkeep.release_due(database) == []
        upkeep.claimable(database)
        upkeep.forget_logs(database, store.LONG_S)
        workers.idle_slots(database, store.LONG_S)

    reads_no_more(add_waiting, beat)


def test_upkeep_checks_every_held_job_in_several_beats(database: Database) -> None:
    from sqlalchemy import update

    good = store.running(database)
    waiting = [store.add(database, after=(good.job_id,)) for _ in range(5)]
    # Creates the row that stores where the last beat stopped.
    assert upkeep.take(database, "w1", store.LONG_S)
    # The first three jobs wait for a job that goes on running.
    forever = store.running(database)
    with database.begin() as connection:
        first = Dependency.c.job_id.in_(waiting[:3])
        connection.execute(update(Dependency).where(first).values(needs_id=forever.job_id))
        # Plain SQL: `finish` would settle the waiting jobs.
        ended = update(Job).where(Job.c.id == good.job_id)
        connection.execute(ended.values(state=JobState.SUCCEEDED))
    found = [upkeep.release_due(database, most=2) for _ in range(4)]
    assert found == [[], [waiting[3]], [waiting[4]], []]
    # After the last held job, upkeep begins with the first one again.
    steering.hold(database, waiting[4], "ana")
    with database.begin() as connection:
        connection.execute(update(Job).where(Job.c.id == waiting[4]).values(held_by=None))
    found = [upkeep.release_due(database, most=2) for _ in range(3)]
    assert [waiting[4]] in found
    assert [history.state(database, job_id) for job_id in waiting] == ["held"] * 3 + ["queued"] * 2


def test_upkeep_counts_at_most_1000_jobs_of_a_queue(database: Database) -> None:
    fill(database, upkeep.MOST + 1)
    fill(database, 2, queue="night")
    fill(database, 1, queue="night", not_before=later(now(), -1.0))
    fill(database, 1, queue="night", not_before=later(now(), store.LONG_S))
    assert upkeep.claimable(database) == {"default": upkeep.MOST, "night": 3}
