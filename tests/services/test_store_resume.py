"""Which training state an attempt continues from, and what the recorded epochs are then."""

from dataclasses import replace
from typing import Any

import pytest

from fornada.db.answers import Number
from fornada.db.queue import attempts, steering, verdicts
from fornada.db.reads import documents, history
from fornada.db.records import TRAINING_STATE, ArtifactRow, Claim, EpochRow, Fence, StartedFacts
from fornada.db.store.session import Database
from tests.services import store


def claimed(database: Database) -> Claim:
    """Claim a job. There must be one."""
    claim = store.claim(database)
    assert claim is not None
    return claim


def preempted(database: Database, fence: Fence) -> Claim:
    """End an attempt as preempted, and claim the next one."""
    verdicts.finish(database, fence, store.PREEMPTED)
    return claimed(database)


def row(number: int, attempt: int | None, loss: float) -> EpochRow:
    """An epoch in a training state."""
    return replace(store.epoch(number, loss=loss), attempt=attempt)


def resumed(first_epoch: int, **changes: Any) -> StartedFacts:
    """The facts of a trainer that continues at an epoch."""
    return replace(store.STARTED, first_epoch=first_epoch, **changes)


def recorded(database: Database, job_id: int) -> dict[str, str]:
    """The kinds of a job's artifacts, by URI."""
    artifacts = documents.job(database, job_id)["artifacts"]
    return {artifact["uri"]: artifact["kind"] for artifact in artifacts}


def losses(database: Database, job_id: int) -> list[tuple[int, int, Number]]:
    """(epoch, attempt, loss) of each epoch."""
    rows = history.epochs(database, job_id)
    return [(row["epoch"], row["attempt"], row["metrics"]["loss"]) for row in rows]


def test_a_first_attempt_has_no_training_state(database: Database) -> None:
    store.add(database)
    assert claimed(database).resume_from == ()


def test_an_attempt_tries_the_newest_earlier_attempt_first(database: Database) -> None:
    fence = store.running(database)
    claim = preempted(database, fence)
    assert claim.resume_from == ((claim.uid, 1),)
    claim = preempted(database, claim.fence)
    assert claim.resume_from == ((claim.uid, 2), (claim.uid, 1))


def test_a_fresh_retry_continues_from_no_earlier_attempt(database: Database) -> None:
    fence = store.running(database)
    claim = preempted(database, fence)
    verdicts.finish(database, claim.fence, store.FAILED)
    steering.retry(database, fence.job_id, "ana", fresh=True)
    third = claimed(database)
    assert third.resume_from == ()
    assert preempted(database, third.fence).resume_from == ((claim.uid, 3),)
    # A later retry does not continue from the attempts before the fresh one.
    steering.cancel(database, fence.job_id, "ana")
    verdicts.finish(database, Fence(fence.job_id, 4), store.PREEMPTED)
    steering.retry(database, fence.job_id, "ana")
    assert claimed(database).resume_from == ((claim.uid, 4), (claim.uid, 3))


@pytest.mark.parametrize("fresh", [False, True])
def test_an_attempt_that_starts_deletes_the_rows_of_earlier_training_states(
    database: Database, fresh: bool
) -> None:
    """The first attempt had trained all epochs when its job was cancelled, so it left a state."""
    fence = store.running(database)
    steering.cancel(database, fence.job_id, "bob")
    state = ArtifactRow(TRAINING_STATE, "artifacts:job/attempt-1/state", 1002, f"{2:064x}")
    files = (*store.FILES, state)
    verdicts.finish(database, fence, replace(store.SUCCEEDED, artifacts=files))
    assert recorded(database, fence.job_id)[state.uri] == TRAINING_STATE

    steering.retry(database, fence.job_id, "ana", fresh=fresh)
    assert recorded(database, fence.job_id)[state.uri] == TRAINING_STATE
    attempts.started(database, claimed(database).fence, store.STARTED)

    assert recorded(database, fence.job_id) == {file.uri: file.kind for file in store.FILES}


def test_a_job_continues_from_the_last_state_of_another_job(database: Database) -> None:
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
    # A fresh retry ignores the job's own states, but still continues the other job.
    assert claimed(database).resume_from == inherited


def test_the_recorded_epochs_become_those_of_the_training_state(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    # The third epoch was never recorded. The fourth one was, and is trained again.
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


def test_a_training_state_without_a_best_model_removes_the_recorded_one(
    database: Database,
) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5))])
    claim = preempted(database, fence)
    attempts.started(database, claim.fence, resumed(1, first_batch=3))
    shown = documents.job(database, fence.job_id)
    assert (shown["best"], shown["epochs_run"]) == (None, 0)
    assert losses(database, fence.job_id) == []


def test_epochs_of_the_continued_job_are_recorded_as_attempt_0(database: Database) -> None:
    first = store.running(database)
    verdicts.finish(database, first, store.SUCCEEDED)
    store.add(database, continues=first.job_id)
    claim = claimed(database)
    facts = resumed(3, restored=[row(1, 0, 0.9), row(2, 0, 0.8)])
    attempts.started(database, claim.fence, facts)
    assert losses(database, claim.job_id) == [(1, 0, 0.9), (2, 0, 0.8)]
    # They are deleted when another attempt starts over.
    again = preempted(database, claim.fence)
    attempts.started(database, again.fence, store.STARTED)
    assert losses(database, claim.job_id) == []


def test_the_database_shows_where_an_attempt_continued(database: Database) -> None:
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


def test_reporting_the_start_of_an_attempt_again_changes_nothing(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5), loss=0.5)])
    before = documents.job(database, fence.job_id), history.events(database, fence.job_id)
    # The worker got no answer to the first report, and sends it again after the epoch.
    attempts.started(database, fence, store.STARTED)
    assert (documents.job(database, fence.job_id), history.events(database, fence.job_id)) == before
