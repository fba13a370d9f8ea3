"""What people do to a job: hold, release, move, retry and cancel it, in each of its states."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fornada.db.errors import JobNotFound, WrongState
from fornada.db.queue import attempts, jobs, steering, verdicts
from fornada.db.reads import documents, history
from fornada.db.records import Fence, Requests
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.services import store

Act = Callable[[Database, int], object]
ACTS: dict[str, Act] = {
    "hold": lambda database, job_id: steering.hold(database, job_id, "bob"),
    "release": lambda database, job_id: steering.release(database, job_id, "bob"),
    "move": lambda database, job_id: steering.move(database, job_id, "bob", priority=5),
    "retry": lambda database, job_id: steering.retry(database, job_id, "bob"),
    "cancel": lambda database, job_id: steering.cancel(database, job_id, "bob"),
}
# The states in which each act is allowed.
ALLOWED = {
    "hold": {"queued", "held"},
    "release": {"queued", "held"},
    "move": {"queued", "held"},
    "retry": {"failed", "cancelled"},
    "cancel": {"queued", "held", "running", "cancelled"},
}


def kinds(database: Database, job_id: int) -> list[tuple[str, str]]:
    """(kind, actor) of each event of a job."""
    return [(event["kind"], event["actor"]) for event in history.events(database, job_id)]


def in_state(database: Database, state: str) -> int:
    """Add a job and bring it to a state by legal moves. Return its id."""
    if state in ("queued", "held"):
        return store.add(database, held=state == "held")
    fence = store.running(database)
    if state == "cancelled":
        steering.cancel(database, fence.job_id, "ana")
    if state != "running":
        verdicts.finish(database, fence, store.FAILED if state == "failed" else store.SUCCEEDED)
    assert history.state(database, fence.job_id) == state
    return fence.job_id


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("act", ACTS)
def test_an_act_in_the_wrong_state_changes_nothing(
    database: Database, act: str, state: JobState
) -> None:
    job_id = in_state(database, state)
    before = documents.job(database, job_id), history.events(database, job_id)
    if state in ALLOWED[act]:
        ACTS[act](database, job_id)
        return
    with pytest.raises(WrongState, match=f"job {job_id} (is|has ended as) {state}: "):
        ACTS[act](database, job_id)
    assert (documents.job(database, job_id), history.events(database, job_id)) == before


@pytest.mark.parametrize("act", ACTS)
def test_an_act_on_a_missing_job_raises(database: Database, act: str) -> None:
    with pytest.raises(JobNotFound, match="no job 99"):
        ACTS[act](database, 99)


def test_a_held_job_starts_when_it_is_released(database: Database) -> None:
    job_id = store.add(database)
    assert steering.hold(database, job_id, "bob@desk") is JobState.HELD
    assert steering.hold(database, job_id, "eve") is JobState.HELD
    assert documents.job(database, job_id)["held_by"] == "bob@desk"
    assert store.claim(database) is None
    assert steering.release(database, job_id, "ana") is JobState.QUEUED
    assert steering.release(database, job_id, "ana") is JobState.QUEUED
    assert documents.job(database, job_id)["held_by"] is None
    assert kinds(database, job_id) == [
        ("submitted", "ana@laptop"),
        ("held", "bob@desk"),
        ("released", "ana"),
    ]
    claimed = store.claim(database)
    assert claimed is not None
    assert claimed.job_id == job_id


def test_a_job_can_be_held_from_the_start(database: Database) -> None:
    job_id = store.add(database, held=True)
    shown = documents.job(database, job_id)
    assert (shown["state"], shown["held_by"]) == ("held", "ana@laptop")
    (event,) = history.events(database, job_id)
    assert event["detail"] == {"state": "held", "held": True}
    assert steering.cancel(database, job_id, "bob") is JobState.CANCELLED


def test_hold_and_release_do_not_end_the_pause_before_a_retry(database: Database) -> None:
    fence = store.running(database)
    verdicts.finish(database, fence, store.CRASHED, pause_s=store.LONG_S)
    until = documents.job(database, fence.job_id)["not_before"]
    steering.hold(database, fence.job_id, "bob")
    steering.release(database, fence.job_id, "bob")
    assert documents.job(database, fence.job_id)["not_before"] == until
    assert store.claim(database) is None


def test_a_job_does_not_start_before_its_time(database: Database) -> None:
    now = datetime.now(UTC)
    late = store.add(database, not_before=now + timedelta(hours=1), priority=9)
    due = store.add(database, not_before=now - timedelta(hours=1))
    assert late < due
    claimed = store.claim(database)
    assert claimed is not None
    assert claimed.job_id == due
    assert store.claim(database) is None


def test_the_test_result_is_removed_when_the_job_is_trained_again(database: Database) -> None:
    fence = store.running(database)
    steering.cancel(database, fence.job_id, "bob")
    verdicts.finish(database, fence, replace(store.SUCCEEDED, test=store.TEST))
    assert documents.job(database, fence.job_id)["test"] == store.TEST
    steering.retry(database, fence.job_id, "bob")
    again = store.claim(database)
    assert again is not None
    attempts.started(database, again.fence, store.STARTED)
    assert documents.job(database, fence.job_id)["test"] is None


def test_submitting_a_key_again_adds_no_job(database: Database) -> None:
    new = store.new_job(key="nightly", tags={"a": "1"})
    first = jobs.add(database, new, "ana")
    assert store.add(database, key="nightly") == first
    assert store.add(database, key="weekly") == first + 1
    # Jobs without a key are always new.
    assert store.add(database) != store.add(database)
    shown = documents.job(database, first)
    assert (shown["uid"], shown["key"]) == (new.uid, "nightly")
    assert len(history.events(database, first)) == 1


def test_threads_that_submit_one_key_add_one_job(database_url: str) -> None:
    import threading

    ready, found = threading.Barrier(8), []

    def submit() -> None:
        own = Database(database_url)
        ready.wait()
        found.append(store.add(own, key="nightly"))
        own.dispose()

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("state", ["queued", "held"])
def test_a_waiting_job_gets_another_priority_and_queue(database: Database, state: str) -> None:
    job_id = in_state(database, state)
    steering.move(database, job_id, "bob", priority=7, queue="night")
    shown = documents.job(database, job_id)
    assert (shown["priority"], shown["queue"], shown["state"]) == (7, "night", state)
    last = history.events(database, job_id)[-1]
    assert (last["kind"], last["actor"]) == ("moved", "bob")
    assert last["detail"] == {
        "priority": {"from": 0, "to": 7},
        "queue": {"from": "default", "to": "night"},
    }
    # A move to the same place records no event.
    steering.move(database, job_id, "bob", priority=7, queue="night")
    assert history.events(database, job_id)[-1] == last


def test_a_job_moves_to_the_top(database: Database) -> None:
    store.add(database, priority=3)
    second = store.add(database, priority=3)
    low = store.add(database, priority=-8)
    store.add(database, priority=9, queue="night")
    steering.move(database, low, "bob", top=True)
    assert documents.job(database, low)["priority"] == 4
    steering.move(database, second, "bob", top=True)
    assert order(database) == [second, low, 1]
    # The job is first already, so its priority stays.
    before = documents.job(database, second)["priority"]
    steering.move(database, second, "bob", top=True)
    assert documents.job(database, second)["priority"] == before


def order(database: Database) -> list[int]:
    """Ids of three jobs in the order in which they are claimed. The jobs go back to the queue."""
    taken: list[int] = []
    for _ in range(3):
        claimed = store.claim(database, slot=f"cpu:{len(taken)}")
        assert claimed is not None
        taken.append(claimed.job_id)
    for number, job_id in enumerate(reversed(taken), start=1):
        verdicts.finish(database, Fence(job_id, 1), store.PREEMPTED)
        assert number
    return taken


def test_a_move_to_the_top_of_an_empty_queue_keeps_the_priority(database: Database) -> None:
    job_id = store.add(database, priority=-3)
    steering.move(database, job_id, "bob", top=True)
    assert documents.job(database, job_id)["priority"] == -3


def test_the_shortest_grace_of_several_cancels_counts(database: Database) -> None:
    fence = store.running(database)
    assert attempts.requests(database, fence) == Requests(cancel=False, grace_s=None)

    def asked(grace_s: float | None) -> float | None:
        assert steering.cancel(database, fence.job_id, "bob", grace_s=grace_s) is JobState.RUNNING
        seen = attempts.requests(database, fence)
        assert seen.cancel
        assert attempts.renew(database, fence, store.LEASE_S) == seen
        return seen.grace_s

    # None means the worker's default. A longer time after a shorter one changes nothing.
    assert [asked(grace) for grace in (None, 30.0, 5.0, 20.0, None, 0.0, 5.0)] == [
        *(None, 30.0, 5.0, 5.0, 5.0, 0.0, 0.0)
    ]
    events = [e for e in history.events(database, fence.job_id) if e["kind"] == "cancel_requested"]
    assert [event["detail"] for event in events] == [
        None,
        {"grace_s": 30.0},
        {"grace_s": 5.0},
        {"grace_s": 0.0},
    ]


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_a_retried_job_looks_as_if_it_had_never_ended(database: Database, ended: str) -> None:
    fence = store.running(database, retry_attempts=2)
    verdicts.finish(database, fence, store.CRASHED, pause_s=0.0)
    again = store.claim(database)
    assert again is not None
    if ended == "cancelled":
        steering.cancel(database, fence.job_id, "bob", "no", grace_s=0.0)
    assert verdicts.finish(database, again.fence, store.CRASHED) == ended
    assert documents.job(database, fence.job_id)["finished_at"] is not None

    assert steering.retry(database, fence.job_id, "ana@laptop") is JobState.QUEUED
    shown = documents.job(database, fence.job_id)
    nothing: dict[str, Any] = dict.fromkeys(
        [
            *("failure", "stop_reason", "finished_at", "started_at", "duration_s", "not_before"),
            *("cancel_requested_at", "cancel_requested_by", "cancel_reason", "avoid_host"),
        ]
    )
    assert shown.items() >= nothing.items()
    assert (shown["state"], shown["tries"], shown["attempts"]) == ("queued", 0, 2)
    last = history.events(database, fence.job_id)[-1]
    assert (last["kind"], last["actor"], last["detail"]) == (
        *("retried", "ana@laptop"),
        {"fresh": False},
    )

    third = store.claim(database)
    assert third is not None
    assert third.attempt == 3
    assert not third.cancel_requested
    assert attempts.requests(database, third.fence) == Requests(cancel=False, grace_s=None)
    # The job has all its tries again.
    assert verdicts.finish(database, third.fence, store.CRASHED) is JobState.QUEUED
