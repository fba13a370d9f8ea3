"""Jobs that wait for others: released, cancelled, never forgotten."""

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
    """Of these jobs."""
    return [history.state(database, job_id) for job_id in job_ids]


def last_event(database: Database, job_id: int) -> dict[str, object]:
    """What happened last to a job, but for when."""
    event = history.events(database, job_id)[-1]
    return {name: event[name] for name in ("kind", "actor", "detail")}


def test_a_job_waits_until_all_that_it_needs_have_succeeded(database: Database) -> None:
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
def test_a_job_is_cancelled_with_what_it_needs(database: Database, how: str) -> None:
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


def test_a_job_that_is_tried_again_has_not_ended(database: Database) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,))
    verdicts.finish(database, fence, store.CRASHED)
    assert states(database, waiting) == ["held"]


@pytest.mark.parametrize("verdict", [store.SUCCEEDED, store.FAILED])
def test_any_end_will_do_where_that_is_asked(database: Database, verdict: Verdict) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,), after_any=True)
    verdicts.finish(database, fence, verdict)
    assert states(database, waiting) == ["queued"]


def test_after_what_has_ended_already(database: Database) -> None:
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


def test_after_what_is_not_there(database: Database) -> None:
    job_id = store.add(database)
    with pytest.raises(JobNotFound, match="no job 98"):
        store.add(database, after=(job_id, 98, 99))
    with pytest.raises(JobNotFound, match="no job 97"):
        store.add(database, continues=97)
    assert [row["id"] for row in pages.page(database).rows] == [job_id]


def test_a_job_that_a_person_holds_is_not_released_by_others(database: Database) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,))
    assert steering.hold(database, waiting, "bob") is JobState.HELD
    verdicts.finish(database, fence, store.SUCCEEDED)
    assert states(database, waiting) == ["held"]
    assert upkeep.release_due(database) == []
    assert steering.release(database, waiting, "bob") is JobState.QUEUED


def test_a_job_that_a_person_releases_still_waits_for_others(database: Database) -> None:
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


def test_what_was_cancelled_stays_so_when_its_need_is_retried(database: Database) -> None:
    fence = store.running(database)
    waiting = store.add(database, after=(fence.job_id,))
    verdicts.finish(database, fence, store.FAILED)
    steering.retry(database, fence.job_id, "ana")
    assert states(database, waiting) == ["cancelled"]
    # Retried too, it waits for it again.
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


def test_a_retry_no_longer_asks_for_a_success_that_did_not_come(database: Database) -> None:
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


def test_upkeep_settles_what_nobody_settled(database: Database) -> None:
    from sqlalchemy import update

    from fornada.db.store.tables import Job

    good, bad, live = (store.running(database) for _ in range(3))
    waiting = store.add(database, after=(good.job_id,))
    in_vain = store.add(database, after=(bad.job_id,))
    behind = store.add(database, after=(in_vain,))
    patient = store.add(database, after=(good.job_id, live.job_id))
    with database.begin() as connection:
        # Not by the record's own means, which settle.
        for fence, state in ((good, JobState.SUCCEEDED), (bad, JobState.FAILED)):
            ended = update(Job).where(Job.id == fence.job_id)
            connection.execute(ended.values(state=state))
    assert upkeep.release_due(database) == [waiting, in_vain]
    assert states(database, waiting, in_vain, behind, patient) == [
        *("queued", "cancelled", "cancelled", "held"),
    ]
    assert upkeep.release_due(database) == []
    assert history.events(database, waiting)[-1]["actor"] == "upkeep"


def test_two_that_end_at_once_release_what_waits_for_both(database_url: str) -> None:
    """And a job that is submitted at that moment is not forgotten either."""
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


def test_many_that_end_at_once_lock_one_after_the_other(postgres_database_url: str) -> None:
    """Jobs that wait for several, in every order: no deadlock."""
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
