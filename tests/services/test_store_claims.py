"""Which job a claim takes, and that no two claims take the same job."""

import threading
from collections import Counter

import pytest

from fornada.db.queue import jobs, verdicts
from fornada.db.reads import documents
from fornada.db.records import Claim, Failure, Verdict
from fornada.db.states import AttemptOutcome, FailureCode, JobState
from fornada.db.store.session import Database
from tests.services import store

CLAIMERS, JOBS = 8, 500


def claimed(database: Database, **changes: object) -> int | None:
    """The id of the job that a claim takes."""
    claim = store.claim(database, **changes)
    return claim.job_id if claim else None


def test_a_claim_returns_everything_that_a_worker_needs(database: Database) -> None:
    new = store.new_job(time_limit_s=7200.0, retry_attempts=2)
    job_id = jobs.add(database, new, "ana")
    claim = store.claim(database, worker="w1", slot="cpu:1")
    assert claim == Claim(
        job_id=job_id,
        uid=new.uid,
        attempt=1,
        name=new.name,
        queue="default",
        gpus=new.gpus,
        spec=new.spec,
        time_limit_s=7200.0,
        retry_attempts=2,
        cancel_requested=False,
    )
    shown = documents.job(database, job_id)
    assert shown["state"] == "running"
    assert (shown["worker"]["name"], shown["worker"]["slot"]) == ("w1", "cpu:1")


@pytest.mark.parametrize("code", [FailureCode.HOST_OOM, FailureCode.CRASHED])
def test_a_claim_says_whether_an_earlier_attempt_ran_out_of_memory(
    database: Database, code: FailureCode
) -> None:
    fence = store.running(database)
    killed = Verdict(AttemptOutcome.CRASHED, failure=Failure(code, "killed"))
    verdicts.finish(database, fence, killed, pause_s=0.0)
    again = store.claim(database)
    assert again is not None
    assert again.after_host_oom is (code is FailureCode.HOST_OOM)
    # Also when the attempt between them ended for another reason.
    verdicts.finish(database, again.fence, store.PREEMPTED)
    third = store.claim(database)
    assert third is not None
    assert third.after_host_oom is again.after_host_oom


def test_a_claim_without_a_queued_job_returns_none(database: Database) -> None:
    assert store.claim(database) is None
    store.running(database)
    assert store.claim(database) is None


def test_claims_take_the_highest_priority_first_and_then_the_oldest(database: Database) -> None:
    low, first, second, high = (store.add(database, priority=p) for p in (-1, 0, 0, 7))
    assert [claimed(database) for _ in range(5)] == [high, first, second, low, None]


def test_a_claim_takes_jobs_only_from_the_queues_it_names(database: Database) -> None:
    other = store.add(database, queue="other", priority=9)
    mine = store.add(database, queue="mine")
    assert claimed(database, queues=["default"]) is None
    assert claimed(database, queues=["mine", "default"]) == mine
    assert claimed(database, queues=["mine", "other"]) == other


def test_a_gpu_job_needs_a_gpu_slot(database: Database) -> None:
    needs, auto, without = (store.add(database, gpus=gpus) for gpus in ("1", "auto", "0"))
    assert claimed(database, has_gpu=False) == auto
    assert claimed(database, has_gpu=False) == without
    assert claimed(database, has_gpu=False) is None
    assert claimed(database, has_gpu=True) == needs


def test_a_gpu_slot_takes_any_job(database: Database) -> None:
    ids = [store.add(database, gpus=gpus) for gpus in ("0", "auto", "1")]
    assert [claimed(database, has_gpu=True) for _ in ids] == ids


@pytest.mark.parametrize(("seconds", "ready"), [(-1.0, True), (60.0, False)])
def test_a_job_whose_time_has_not_come_waits(
    database: Database, seconds: float, ready: bool
) -> None:
    from sqlalchemy import update

    from fornada.db.clock import later, now
    from fornada.db.store.tables import Job

    job_id = store.add(database)
    with database.begin() as connection:
        connection.execute(update(Job).values(not_before=later(now(), seconds)))
    assert claimed(database) == (job_id if ready else None)


def test_every_claim_increases_the_number_of_the_attempt(database: Database) -> None:
    fence = store.running(database)
    for attempt in (2, 3):
        verdicts.finish(database, fence, store.PREEMPTED)
        claim = store.claim(database)
        assert claim is not None
        assert (claim.job_id, claim.attempt) == (fence.job_id, attempt)
        fence = claim.fence


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.CANCELLED, JobState.HELD])
def test_only_queued_jobs_are_claimed(database: Database, state: JobState) -> None:
    from sqlalchemy import update

    from fornada.db.store.tables import Job

    store.add(database)
    with database.begin() as connection:
        connection.execute(update(Job).values(state=state))
    assert store.claim(database) is None
    queued = store.add(database)
    assert claimed(database) == queued


def test_many_claimers_take_each_job_once(database_url: str) -> None:
    database = Database(database_url)
    ids = store.add_many(database, JOBS)
    ready = threading.Barrier(CLAIMERS)
    taken: list[list[int]] = [[] for _ in range(CLAIMERS)]
    failed: list[BaseException] = []

    def take(mine: list[int], worker: str) -> None:
        own = Database(database_url)
        ready.wait()
        try:
            while (job_id := claimed(own, worker=worker)) is not None:
                mine.append(job_id)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            own.dispose()

    threads = [
        threading.Thread(target=take, args=(mine, f"w{number}"))
        for number, mine in enumerate(taken)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert Counter(job_id for mine in taken for job_id in mine) == Counter(ids)
    # At least two threads claimed jobs: they did not just run one after the other.
    assert sum(bool(mine) for mine in taken) > 1
    assert all(documents.job(database, job_id)["attempts"] == 1 for job_id in ids[::50])
    database.dispose()


def test_a_claim_skips_a_locked_job(postgres_database_url: str) -> None:
    from sqlalchemy import select

    from fornada.db.store.tables import Job

    database = Database(postgres_database_url)
    first, second = store.add(database), store.add(database)
    with database.begin() as connection:
        connection.execute(select(Job.c.id).where(Job.c.id == first).with_for_update())
        assert claimed(database) == second
    assert claimed(database) == first
    database.dispose()
