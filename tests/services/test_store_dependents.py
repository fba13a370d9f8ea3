"""Jobs that wait for other jobs are queued, or cancelled, when those have ended."""

import threading

import pytest

from fornada.db.errors import JobNotFound
from fornada.db.queue import attempts, expiry, steering, upkeep, verdicts
from fornada.db.reads import documents, history, pages
from fornada.db.records import Fence, Verdict
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.services import store


def states(database: Database, *job_ids: int) -> list[str]:
    """The states of these jobs."""
    return [history.state(database, job_id) for job_id in job_ids]


def last_event(database: Database, job_id: int) -> dict[str, object]:
    """The last event of a job, without its time."""
    event = history.events(database, job_id)[-1]
    return {name: event[name] for name in ("kind", "actor", "detail")}


def test_a_job_waits_until_all_its_dependencies_have_succeeded(database: Database) -> None:
    first, second = store.running(database), store.running(database)
    waiting = store.add(database, after=(second.job_id, first.job_id, first.job_id))
    assert states(database, waiting) == ["held"]
    shown = documents.job(database, waiting)
    assert shown["after"] == [first.job_id, second.job_id]
    assert shown["held_by"] is None
    verdicts.finish(database, second, store.SUCCEEDED)
    assert states(database, waiting) == ["held"]
    verdicts.finish(database, first, store.SUCCEEDED)
    assert states(database, waiting) == ["queued"]
    assert last_event(database, waiting) == {
        "kind": "released",
        "actor": f"job {first.job_id}",
        "detail": {"after": [first.job_id, second.job_id]},
    }


@pytest.mark.parametrize("how", ["fails", "is cancelled", "is lost", "is cancelled in the queue"])
def test_a_job_is_cancelled_when_its_dependency_has_no_success(
    database: Database, how: str
) -> None:
    fence = store.running(database, retry_attempts=1)
    waiting = store.add(database, after=(fence.job_id,))
    held = store.add(database, after=(fence.job_id,), held=True)
    behind = store.add(database, after=(waiting,))
    regardless = store.add(database, after=(waiting,), after_any=True)
    if how == "fails":
        verdicts.finish(database, fence, store.FAILED)
    elif how == "is lost":
        attempts.renew(database, fence, lease_s=-1.0)
        expiry.expire_leases(database)
    elif how == "is cancelled":
        steering.cancel(database, fence.job_id, "bob")
        assert states(database, waiting) == ["held"]
        verdicts.finish(database, fence, store.SUCCEEDED)
    else:
        verdicts.finish(database, fence, store.PREEMPTED)
        steering.cancel(database, fence.job_id, "bob")
    assert states(database, waiting, held, behind) == ["cancelled"] * 3
    assert states(database, regardless) == ["queued"]
    ended = "been cancelled" if "cancelled" in how else "failed"
    reason = f"job {fence.job_id}, which it waits for, has {ended}"
    assert last_event(database, waiting) == {
        "kind": "cancelled",
        "actor": f"job {fence.job_id}",
        "detail": {"reason": reason},
    }
    shown = documents.job(database, waiting)
    assert (shown["cancel_reason"], shown["stop_reason"]) == (reason, "cancelled")
    assert f"job {waiting}, which" in documents.job(database, behind)["cancel_reason"]


def test_a_job_keeps_waiting_while_its_dependency_is_retried(database: Database) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,))
    verdicts.finish(database, fence, store.CRASHED)
    assert states(database, waiting) == ["held"]


@pytest.mark.parametrize("verdict", [store.SUCCEEDED, store.FAILED])
def test_after_any_accepts_every_end_of_a_dependency(database: Database, verdict: Verdict) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,), after_any=True)
    verdicts.finish(database, fence, verdict)
    assert states(database, waiting) == ["queued"]


def test_dependencies_that_have_ended_before_the_submit(database: Database) -> None:
    succeeded, failed = store.running(database), store.running(database)
    verdicts.finish(database, succeeded, store.SUCCEEDED)
    verdicts.finish(database, failed, store.FAILED)
    assert states(
        database,
        store.add(database, after=(succeeded.job_id,)),
        store.add(database, after=(failed.job_id,), after_any=True),
        store.add(database, after=(succeeded.job_id, failed.job_id)),
        store.add(database, after=(succeeded.job_id,), held=True),
    ) == ["queued", "queued", "cancelled", "held"]
    job_id = store.add(database, after=(failed.job_id,))
    assert [event["kind"] for event in history.events(database, job_id)] == [
        "submitted",
        "cancelled",
    ]
    assert "has failed" in documents.job(database, job_id)["cancel_reason"]


def test_dependencies_that_do_not_exist(database: Database) -> None:
    job_id = store.add(database)
    with pytest.raises(JobNotFound, match="no job 98"):
        store.add(database, after=(job_id, 98, 99))
    with pytest.raises(JobNotFound, match="no job 97"):
        store.add(database, continues=97)
    assert [row["id"] for row in pages.page(database).rows] == [job_id]


def test_the_end_of_a_dependency_does_not_release_a_job_that_a_person_holds(
    database: Database,
) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,))
    assert steering.hold(database, waiting, "bob") is JobState.HELD
    verdicts.finish(database, fence, store.SUCCEEDED)
    assert states(database, waiting) == ["held"]
    assert upkeep.release_due(database) == []
    assert steering.release(database, waiting, "bob") is JobState.QUEUED


def test_a_released_job_still_waits_for_its_dependencies(database: Database) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,), held=True)
    assert steering.release(database, waiting, "bob") is JobState.HELD
    assert last_event(database, waiting) == {
        "kind": "released",
        "actor": "bob",
        "detail": {"waits_for": [fence.job_id]},
    }
    assert steering.release(database, waiting, "bob") is JobState.HELD
    assert len(history.events(database, waiting)) == 2
    verdicts.finish(database, fence, store.SUCCEEDED)
    assert states(database, waiting) == ["queued"]


def test_a_cancelled_job_stays_cancelled_when_its_dependency_is_retried(
    database: Database,
) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,))
    verdicts.finish(database, fence, store.FAILED)
    steering.retry(database, fence.job_id, "ana")
    assert states(database, waiting) == ["cancelled"]
    # When the cancelled job is retried too, it waits for its dependency again.
    assert steering.retry(database, waiting, "ana") is JobState.HELD
    assert last_event(database, waiting) == {
        "kind": "held",
        "actor": "ana",
        "detail": {"waits_for": [fence.job_id]},
    }
    again = store.claim(database)
    assert again is not None
    verdicts.finish(database, again.fence, store.SUCCEEDED)
    assert states(database, waiting) == ["queued"]


def test_a_retry_removes_dependencies_that_have_failed(database: Database) -> None:
    failed, running = store.running(database), store.running(database)
    waiting = store.add(database, after=(failed.job_id, running.job_id))
    verdicts.finish(database, failed, store.FAILED)
    assert steering.retry(database, waiting, "ana") is JobState.HELD
    assert history.events(database, waiting)[-2]["detail"] == {
        "fresh": False,
        "waived": [failed.job_id],
    }
    verdicts.finish(database, running, store.SUCCEEDED)
    assert states(database, waiting) == ["queued"]


def test_upkeep_settles_jobs_that_still_wait_for_ended_jobs(database: Database) -> None:
    from sqlalchemy import update

    from fornada.db.store.tables import Job

    good, bad, live = (store.running(database) for _ in range(3))
    waiting = store.add(database, after=(good.job_id,))
    doomed = store.add(database, after=(bad.job_id,))
    behind = store.add(database, after=(doomed,))
    still_waits = store.add(database, after=(good.job_id, live.job_id))
    with database.begin() as connection:
        # Plain SQL: `finish` would settle the waiting jobs.
        for fence, state in ((good, JobState.SUCCEEDED), (bad, JobState.FAILED)):
            ended = update(Job).where(Job.c.id == fence.job_id)
            connection.execute(ended.values(state=state))
    assert upkeep.release_due(database) == [waiting, doomed]
    assert states(database, waiting, doomed, behind, still_waits) == [
        *("queued", "cancelled", "cancelled", "held"),
    ]
    assert upkeep.release_due(database) == []
    assert history.events(database, waiting)[-1]["actor"] == "upkeep"


def test_two_dependencies_that_end_at_once_release_the_job(database_url: str) -> None:
    """A job that is submitted at the same moment is released too."""
    databases = [Database(database_url) for _ in range(3)]
    database = databases[0]
    for _ in range(25):
        fences = [store.running(database, priority=9) for _ in range(2)]
        after = tuple(fence.job_id for fence in fences)
        waiting = store.add(database, after=after)
        ready = threading.Barrier(3)
        late: list[int] = []

        def end(own: Database, fence: Fence, ready: threading.Barrier) -> None:
            ready.wait()
            verdicts.finish(own, fence, store.SUCCEEDED)

        def submit(ready: threading.Barrier, after: tuple[int, ...], late: list[int]) -> None:
            ready.wait()
            late.append(store.add(databases[2], after=after))

        threads = [
            *(
                threading.Thread(target=end, args=(own, fence, ready))
                for own, fence in zip(databases, fences, strict=False)
            ),
            threading.Thread(target=submit, args=(ready, after, late)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert states(database, waiting, *late) == ["queued", "queued"]
    for own in databases:
        own.dispose()


def test_dependencies_that_end_at_once_cause_no_deadlock(postgres_database_url: str) -> None:
    """Each waiting job lists the same dependencies in another order."""
    databases = [Database(postgres_database_url) for _ in range(4)]
    database = databases[0]
    failed: list[BaseException] = []
    for _ in range(10):
        fences = [store.running(database, priority=9, retry_attempts=1) for _ in range(4)]
        ids = [fence.job_id for fence in fences]
        layer = [store.add(database, after=tuple(ids[i:] + ids[:i])) for i in range(4)]
        last = [store.add(database, after=tuple(layer[i:] + layer[:i])) for i in range(4)]
        ready = threading.Barrier(4)

        def end(own: Database, fence: Fence, ready: threading.Barrier) -> None:
            ready.wait()
            try:
                verdicts.finish(own, fence, store.CRASHED)
            except BaseException as error:
                failed.append(error)
                raise

        threads = [
            threading.Thread(target=end, args=(own, fence, ready))
            for own, fence in zip(databases, fences, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert states(database, *layer, *last) == ["cancelled"] * 8
    for own in databases:
        own.dispose()
