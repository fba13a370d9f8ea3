"""What an attempt goes on from, and what the history is then."""

from dataclasses import replace
from typing import Any

import pytest

from fornada.db.queue import attempts, steering, verdicts
from fornada.db.reads import documents, history
from fornada.db.records import TRAINING_STATE, ArtifactRow, Claim, EpochRow, Fence, StartedFacts
from fornada.db.store.session import Database
from tests.services import store


def claimed(database: Database) -> Claim:
    """A claim that finds a job."""
    claim = store.claim(database)
    assert claim is not None
    return claim


def preempted(database: Database, fence: Fence) -> Claim:
    """The attempt after one whose worker was asked to stop."""
    verdicts.finish(database, fence, store.PREEMPTED)
    return claimed(database)


def row(number: int, attempt: int | None, loss: float) -> EpochRow:
    """An epoch as a training state holds it."""
    return replace(store.epoch(number, loss=loss), attempt=attempt)


def resumed(first_epoch: int, **changes: Any) -> StartedFacts:
    """What a trainer says that goes on at an epoch."""
    return replace(store.STARTED, first_epoch=first_epoch, **changes)


def recorded(database: Database, job_id: int) -> dict[str, str]:
    """Kinds of a job's files by their URIs."""
    return {one["uri"]: one["kind"] for one in documents.job(database, job_id)["artifacts"]}


def losses(database: Database, job_id: int) -> list[tuple[int, int, float]]:
    """Epoch, attempt and loss of each epoch."""
    rows = history.epochs(database, job_id)
    return [(each["epoch"], each["attempt"], each["metrics"]["loss"]) for each in rows]


def test_a_first_attempt_has_nothing_to_go_on_from(database: Database) -> None:
    store.add(database)
    assert claimed(database).resume_from == ()


def test_an_attempt_goes_on_from_the_newest_that_was(database: Database) -> None:
    fence = store.running(database)
    claim = preempted(database, fence)
    assert claim.resume_from == ((claim.uid, 1),)
    claim = preempted(database, claim.fence)
    assert claim.resume_from == ((claim.uid, 2), (claim.uid, 1))


def test_a_fresh_retry_goes_on_from_nothing_that_was_before(database: Database) -> None:
    fence = store.running(database)
    claim = preempted(database, fence)
    verdicts.finish(database, claim.fence, store.FAILED)
    steering.retry(database, fence.job_id, "ana", fresh=True)
    third = claimed(database)
    assert third.resume_from == ()
    assert preempted(database, third.fence).resume_from == ((claim.uid, 3),)
    # A later retry does not bring back what was given up.
    steering.cancel(database, fence.job_id, "ana")
    verdicts.finish(database, Fence(fence.job_id, 4), store.PREEMPTED)
    steering.retry(database, fence.job_id, "ana")
    assert claimed(database).resume_from == ((claim.uid, 4), (claim.uid, 3))


@pytest.mark.parametrize("fresh", [False, True])
def test_an_attempt_that_starts_takes_earlier_states_off_the_record(
    database: Database, fresh: bool
) -> None:
    """It removes them: of one that had trained it all when its job was cancelled."""
    fence = store.running(database)
    steering.cancel(database, fence.job_id, "bob")
    state = ArtifactRow(TRAINING_STATE, "artifacts:job/attempt-1/state", 1002, f"{2:064x}")
    files = (*store.FILES, state)
    verdicts.finish(database, fence, replace(store.SUCCEEDED, artifacts=files))
    assert recorded(database, fence.job_id)[state.uri] == TRAINING_STATE

    steering.retry(database, fence.job_id, "ana", fresh=fresh)
    assert recorded(database, fence.job_id)[state.uri] == TRAINING_STATE
    attempts.started(database, claimed(database).fence, store.STARTED)

    assert recorded(database, fence.job_id) == {each.uri: each.kind for each in store.FILES}


def test_a_job_goes_on_where_another_ended(database: Database) -> None:
    first = preempted(database, store.running(database))
    verdicts.finish(database, first.fence, store.SUCCEEDED)
    job_id = store.add(database, continues=first.job_id)
    assert documents.job(database, job_id)["continues"] == first.job_id
    claim = claimed(database)
    inherited = ((first.uid, 2), (first.uid, 1))
    assert claim.resume_from == inherited
    assert preempted(database, claim.fence).resume_from == ((claim.uid, 1), *inherited)
    steering.cancel(database, job_id, "ana")
    verdicts.finish(database, Fence(job_id, 2), store.PREEMPTED)
    steering.retry(database, job_id, "ana", fresh=True)
    # From nothing of its own; what it continues is what it is.
    assert claimed(database).resume_from == inherited


def test_the_history_is_what_the_state_holds(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    # The third epoch never reached the record, the fourth did and is run again.
    attempts.record_epochs(
        database, fence, [row(1, None, 0.9), row(2, None, 0.1), row(4, None, 0.2)]
    )
    claim = preempted(database, fence)
    best = store.best(3, 0.6)
    facts = resumed(
        4,
        restored=[row(1, 1, 0.9), row(2, 1, 0.8), row(3, 1, 0.7)],
        best=best,
    )
    attempts.started(database, claim.fence, facts)
    assert losses(database, fence.job_id) == [(1, 1, 0.9), (2, 1, 0.8), (3, 1, 0.7)]
    shown = documents.job(database, fence.job_id)
    assert (shown["epochs_run"], shown["best"]["epoch"]) == (3, 3)
    assert shown["best"]["sha256"] == best.sha256
    assert shown["metrics"] == {"loss": {"last": 0.7, "min": 0.7, "max": 0.9}}
    attempts.record_epochs(database, claim.fence, [row(4, None, 0.5)])
    assert losses(database, fence.job_id)[-1] == (4, 2, 0.5)


def test_a_state_without_a_best_model_takes_back_a_later_one(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5))])
    claim = preempted(database, fence)
    attempts.started(database, claim.fence, resumed(1, first_batch=3))
    shown = documents.job(database, fence.job_id)
    assert (shown["best"], shown["epochs_run"]) == (None, 0)
    assert losses(database, fence.job_id) == []


def test_epochs_of_the_job_that_is_continued(database: Database) -> None:
    first = store.running(database)
    verdicts.finish(database, first, store.SUCCEEDED)
    store.add(database, continues=first.job_id)
    claim = claimed(database)
    facts = resumed(3, restored=[row(1, 0, 0.9), row(2, 0, 0.8)])
    attempts.started(database, claim.fence, facts)
    assert losses(database, claim.job_id) == [(1, 0, 0.9), (2, 0, 0.8)]
    # They are gone when another attempt begins anew.
    again = preempted(database, claim.fence)
    attempts.started(database, again.fence, store.STARTED)
    assert losses(database, claim.job_id) == []


def test_the_record_says_where_an_attempt_went_on(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, replace(store.STARTED, reproducibility="deterministic"))
    claim = preempted(database, fence)
    why = "keras 3.15.1 is now 3.16.0"
    attempts.started(database, claim.fence, resumed(4, first_batch=17, inexact=why))
    runs = documents.job(database, fence.job_id)["executions"]
    assert [run["resumed"] for run in runs] == [
        None,
        {"epoch": 4, "batch": 17, "inexact": why},
    ]
    assert [run["reproducibility"] for run in runs] == ["deterministic", "seeded"]
    assert [run["versions"] for run in runs] == [{"keras": "3.15.1"}] * 2
    events = history.events(database, fence.job_id)
    assert [event["kind"] for event in events] == [
        *("submitted", "claimed", "started", "requeued", "claimed", "started", "resumed"),
    ]
    assert events[-1]["detail"] == {"attempt": 2, "epoch": 4, "batch": 17, "inexact": why}
    assert events[-1]["actor"] == "w1"


def test_to_say_again_that_it_started_changes_nothing(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5), loss=0.5)])
    before = documents.job(database, fence.job_id), history.events(database, fence.job_id)
    # Its answer was lost, and it waited in memory behind the epoch.
    attempts.started(database, fence, store.STARTED)
    assert (documents.job(database, fence.job_id), history.events(database, fence.job_id)) == before
