"""The life of a job from submit to its end, on both databases."""

import json
import math
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fornada.db.errors import Fenced, JobNotFound, WrongState
from fornada.db.queue import attempts, jobs, steering, verdicts
from fornada.db.reads import documents, history, live, pages
from fornada.db.records import Claim, Failure, Fence, Verdict
from fornada.db.states import AttemptOutcome, FailureCode, JobState, StopReason
from fornada.db.store.session import Database
from tests.services import store

# The keys that `fornada show --json` promises. It may print more.
SHOWN = {
    *("id", "uid", "name", "state", "queue", "priority", "user", "tags", "submitted_at"),
    *("started_at", "finished_at", "attempts", "epochs_run", "stop_reason", "monitor", "best"),
    *("metrics", "test", "failure", "worker", "device", "backend", "seed", "data", "spec"),
}


def test_a_job_goes_from_submit_to_success(database: Database) -> None:
    fence = store.running(database, name="digits", tags={"team": "red", "a": "1"}, priority=5)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(
        database, fence, [store.epoch(1, store.best(1, 0.5), loss=0.9, val_loss=0.5)]
    )
    live = documents.job(database, fence.job_id)
    attempts.record_epochs(
        database, fence, [store.epoch(2, store.best(2, 0.4), loss=0.7, val_loss=0.4)]
    )
    attempts.record_epochs(database, fence, [store.epoch(3, loss=0.6, val_loss=0.6)])
    verdict = replace(
        store.SUCCEEDED,
        stop_reason=StopReason.EARLY_STOPPING,
        best=store.best(2, 0.4),
        test=store.TEST,
        artifacts=store.FILES,
    )
    assert verdicts.finish(database, fence, verdict) is JobState.SUCCEEDED

    assert (live["state"], live["epochs_run"]) == ("running", 1)
    assert (live["best"]["epoch"], live["best"]["value"]) == (1, 0.5)
    assert live["finished_at"] is None

    shown = documents.job(database, fence.job_id)
    assert set(shown) >= SHOWN
    assert shown["state"] == "succeeded"
    assert (shown["name"], shown["queue"], shown["priority"]) == ("digits", "default", 5)
    assert shown["tags"] == {"team": "red", "a": "1"}
    assert (shown["attempts"], shown["epochs_run"]) == (1, 3)
    assert (shown["stop_reason"], shown["monitor"]) == ("early_stopping", "val_loss")
    assert shown["best"] == {
        "epoch": 2,
        "value": 0.4,
        "uri": "artifacts:job/attempt-1/best.keras",
        "sha256": f"{2:064x}",
        "bytes": 1002,
    }
    assert shown["metrics"] == {
        "loss": {"last": 0.6, "min": 0.6, "max": 0.9},
        "val_loss": {"last": 0.6, "min": 0.4, "max": 0.6},
    }
    assert shown["test"] == store.TEST
    assert shown["failure"] is None
    assert (shown["worker"]["host"], shown["worker"]["trainer_pid"]) == ("w1", 4321)
    assert (shown["device"], shown["backend"], shown["seed"]) == ("cpu", "tensorflow", 7)
    assert shown["data"] == {
        "fingerprint": "f1" * 32,
        "classes": ["cat", "dog"],
        "train": 180,
        "validation": 20,
        "test": 50,
    }
    assert [file["kind"] for file in shown["artifacts"]] == ["best_model", "tensorboard"]
    assert shown["executions"][0]["outcome"] == "succeeded"
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def test_the_spec_keeps_the_order_of_its_keys(database: Database) -> None:
    spec = {"zebra": {"b": 1, "a": 2}, "name": "x", "ant": [1, {"d": 1, "c": 2}]}
    job_id = store.add(database, spec=spec)
    assert json.dumps(documents.job(database, job_id)["spec"]) == json.dumps(spec)


def test_times_are_utc_and_in_order(database: Database) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    fence = store.running(database)
    verdicts.finish(database, fence, store.SUCCEEDED)
    shown = documents.job(database, fence.job_id)
    times = [shown[name] for name in ("submitted_at", "started_at", "finished_at")]
    assert all(time.endswith("Z") for time in times)
    submitted, started, finished = (datetime.fromisoformat(time) for time in times)
    assert before <= submitted <= started <= finished <= datetime.now(UTC)
    # On SQLite each statement has its own time, so the job ends a moment after its attempt.
    (attempt,) = shown["executions"]
    assert attempt["ended_at"] is not None
    claimed, ended = (datetime.fromisoformat(attempt[name]) for name in ("claimed_at", "ended_at"))
    assert shown["duration_s"] == pytest.approx((ended - claimed).total_seconds(), abs=0.002)


def test_a_duration_counts_all_attempts_and_not_the_time_between(database: Database) -> None:
    fence = store.running(database)
    store.age_attempt(database, fence, claimed_s=100.0)
    verdicts.finish(database, fence, store.PREEMPTED)
    store.age_attempt(database, fence, claimed_s=500.0, ended_s=440.0)
    waiting = documents.job(database, fence.job_id)
    assert waiting["duration_s"] is None
    claimed = store.claim(database)
    assert claimed is not None
    again = Fence(claimed.job_id, claimed.attempt)
    store.age_attempt(database, again, claimed_s=30.0)
    (row,) = live.alive(database)
    assert row["elapsed_s"] == pytest.approx(90.0, abs=2.0)
    verdicts.finish(database, again, store.SUCCEEDED)
    assert documents.job(database, fence.job_id)["duration_s"] == pytest.approx(90.0, abs=2.0)
    (ended,) = pages.page(database, sort="duration").rows
    assert ended["duration_s"] == pytest.approx(90.0, abs=2.0)


def test_a_job_that_is_cancelled_while_it_waits_again_has_run(database: Database) -> None:
    fence = store.running(database)
    verdicts.finish(database, fence, store.PREEMPTED)
    store.age_attempt(database, fence, claimed_s=500.0, ended_s=440.0)
    never = store.add(database)
    for job_id in (fence.job_id, never):
        steering.cancel(database, job_id, "ana@laptop")
    assert documents.job(database, fence.job_id)["duration_s"] == pytest.approx(60.0, abs=0.1)
    assert documents.job(database, never)["duration_s"] is None


def test_every_change_of_state_has_its_event(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    verdicts.finish(database, fence, store.PREEMPTED)
    again = store.claim(database, worker="w2")
    assert again is not None
    verdicts.finish(database, again.fence, store.FAILED)
    events = history.events(database, fence.job_id)
    assert [(event["kind"], event["actor"]) for event in events] == [
        ("submitted", "ana@laptop"),
        ("claimed", "w1"),
        ("started", "w1"),
        ("requeued", "w1"),
        ("claimed", "w2"),
        ("failed", "w2"),
    ]
    assert events[-1]["detail"]["code"] == "DIVERGED"
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_a_failure_keeps_its_code_and_reason(database: Database) -> None:
    fence = store.running(database)
    assert verdicts.finish(database, fence, store.FAILED) is JobState.FAILED
    shown = documents.job(database, fence.job_id)
    assert shown["failure"] == {
        "code": "DIVERGED",
        "message": "loss is NaN in epoch 2",
        "traceback": "Traceback …",
    }
    assert shown["stop_reason"] == "diverged"


@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [
        (AttemptOutcome.SUCCEEDED, JobState.SUCCEEDED, None),
        (AttemptOutcome.FAILED, JobState.FAILED, FailureCode.INTERNAL),
        (AttemptOutcome.CRASHED, JobState.FAILED, FailureCode.CRASHED),
        (AttemptOutcome.TIMED_OUT, JobState.FAILED, FailureCode.TIME_LIMIT),
        (AttemptOutcome.CANCELLED, JobState.CANCELLED, None),
        (AttemptOutcome.PREEMPTED, JobState.QUEUED, None),
    ],
)
def test_each_outcome_leads_to_a_state_and_a_code(
    database: Database, outcome: AttemptOutcome, state: JobState, code: FailureCode | None
) -> None:
    fence = store.running(database, retry_attempts=1)
    assert verdicts.finish(database, fence, Verdict(outcome)) is state
    shown = documents.job(database, fence.job_id)
    assert shown["state"] == state
    assert (shown["failure"] and shown["failure"]["code"]) == code
    assert shown["executions"][0]["outcome"] == outcome


def test_a_preempted_job_is_queued_and_its_next_attempt_may_start_over(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(
        database, fence, [store.epoch(1, store.best(1, 0.5), loss=0.1), store.epoch(2, loss=0.2)]
    )
    assert verdicts.finish(database, fence, store.PREEMPTED) is JobState.QUEUED
    waiting = documents.job(database, fence.job_id)
    assert (waiting["started_at"], waiting["finished_at"], waiting["duration_s"]) == (None,) * 3

    again = store.claim(database, worker="w2")
    assert again is not None
    assert (again.job_id, again.attempt) == (fence.job_id, 2)
    attempts.started(database, again.fence, store.STARTED)
    restarted = documents.job(database, fence.job_id)
    assert history.epochs(database, fence.job_id) == []
    assert (restarted["epochs_run"], restarted["best"], restarted["metrics"]) == (0, None, {})

    attempts.record_epochs(database, again.fence, [store.epoch(1, loss=0.3)])
    assert [(row["epoch"], row["attempt"]) for row in history.epochs(database, fence.job_id)] == [
        (1, 2)
    ]
    assert documents.job(database, fence.job_id)["attempts"] == 2


def test_an_attempt_that_resumes_keeps_the_earlier_epochs(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    rows = [store.epoch(1, store.best(1, 0.5), loss=3.0), store.epoch(2, loss=1.0)]
    attempts.record_epochs(database, fence, [*rows, store.epoch(3, loss=9.0)])
    verdicts.finish(database, fence, replace(store.PREEMPTED, best=store.best(1, 0.5)))
    again = store.claim(database)
    assert again is not None
    resumed = replace(store.STARTED, first_epoch=3, best=store.best(1, 0.5))
    attempts.started(database, again.fence, resumed)
    shown = documents.job(database, fence.job_id)
    assert shown["epochs_run"] == 2
    assert shown["best"]["epoch"] == 1
    assert shown["metrics"] == {"loss": {"last": 1.0, "min": 1.0, "max": 3.0}}
    assert [row["epoch"] for row in history.epochs(database, fence.job_id)] == [1, 2]


def test_recording_the_same_epochs_again_changes_nothing(database: Database) -> None:
    fence = store.running(database)
    rows = [store.epoch(1, loss=0.5), store.epoch(2, loss=0.4)]
    attempts.record_epochs(database, fence, rows)
    first = history.epochs(database, fence.job_id), documents.job(database, fence.job_id)
    attempts.record_epochs(database, fence, rows)
    attempts.record_epochs(database, fence, rows[:1])
    assert (history.epochs(database, fence.job_id), documents.job(database, fence.job_id)) == first
    assert [row["epoch"] for row in history.epochs(database, fence.job_id, after=1)] == [2]
    assert first[0][0] == {
        "epoch": 1,
        "attempt": 1,
        "seconds": 1.5,
        "images_per_s": 120.0,
        "learning_rate": 0.001,
        "metrics": {"loss": 0.5},
    }


def test_ten_thousand_epochs_are_recorded_in_one_call(database: Database) -> None:
    # More values than one statement may have, on either database.
    count = 10_000
    fence = store.running(database)
    attempts.record_epochs(database, fence, [store.epoch(number) for number in range(1, count + 1)])
    shown = documents.job(database, fence.job_id)
    assert shown["epochs_run"] == count
    assert shown["metrics"]["loss"] == {"last": 1.0 / count, "min": 1.0 / count, "max": 1.0}
    assert len(history.epochs(database, fence.job_id)) == count


def test_a_verdict_without_a_best_model_removes_the_one_of_the_epochs(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5))])
    verdicts.finish(database, fence, store.FAILED)
    assert documents.job(database, fence.job_id)["best"] is None


def _claimed_after_a_best_model(database: Database) -> Claim:
    """Claim a job's second attempt. The first one was preempted and left a best model."""
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5))])
    verdicts.finish(database, fence, replace(store.PREEMPTED, best=store.best(1, 0.5)))
    again = store.claim(database)
    assert again is not None
    return again


def test_the_best_model_of_an_earlier_attempt_stays_when_the_next_never_starts(
    database: Database,
) -> None:
    again = _claimed_after_a_best_model(database)
    verdicts.finish(database, again.fence, store.FAILED)
    assert documents.job(database, again.fence.job_id)["best"]["epoch"] == 1


def test_a_verdict_without_a_best_model_removes_a_restored_one(database: Database) -> None:
    again = _claimed_after_a_best_model(database)
    # The best model is now a file in this attempt's folder, and the verdict says that it is gone.
    resumed = replace(store.STARTED, first_epoch=2, best=store.best(1, 0.5))
    attempts.started(database, again.fence, resumed)
    verdicts.finish(database, again.fence, store.FAILED)
    assert documents.job(database, again.fence.job_id)["best"] is None


def test_nan_and_infinity_are_stored(database: Database) -> None:
    fence = store.running(database)
    rows = [
        store.epoch(1, loss=0.5, other=math.nan),
        store.epoch(2, loss=math.inf, other=math.nan),
        store.epoch(3, loss="NaN", other=-math.inf),
    ]
    attempts.record_epochs(database, fence, rows)
    verdicts.finish(database, fence, replace(store.SUCCEEDED, test={"loss": math.nan}))
    shown = documents.job(database, fence.job_id)
    assert [row["metrics"] for row in history.epochs(database, fence.job_id)] == [
        {"loss": 0.5, "other": "NaN"},
        {"loss": "Infinity", "other": "NaN"},
        {"loss": "NaN", "other": "-Infinity"},
    ]
    assert shown["metrics"] == {
        "loss": {"last": "NaN", "min": 0.5, "max": "Infinity"},
        "other": {"last": "-Infinity", "min": "-Infinity", "max": "-Infinity"},
    }
    assert dict(shown["test"]) == {"loss": "NaN"}
    json.dumps(shown, allow_nan=False)


def test_texts_with_undecoded_bytes_and_nul_are_stored(database: Database) -> None:
    fence = store.running(database, name="caf\u00e9")
    message = "cannot decode cat/\udcff.png\0"
    failure = Failure(FailureCode.DATA_INVALID, message, message)
    verdicts.finish(database, fence, Verdict(AttemptOutcome.FAILED, None, failure))
    shown = documents.job(database, fence.job_id)
    assert shown["name"] == "caf\u00e9"
    assert shown["failure"]["message"] == "cannot decode cat/\\udcff.png\\x00"


def test_submitting_a_uid_again_adds_no_job(database: Database) -> None:
    new = store.new_job(tags={"a": "1"})
    first = jobs.add(database, new, "ana")
    assert jobs.add(database, replace(new, name="other"), "worker") == first
    assert documents.job(database, first)["name"] == new.name
    assert len(history.events(database, first)) == 1
    assert store.add(database) == first + 1


def test_threads_that_submit_one_uid_add_one_job(database_url: str) -> None:
    new = store.new_job(tags={"a": "1"})
    ready, found = threading.Barrier(8), []

    def submit() -> None:
        own = Database(database_url)
        ready.wait()
        found.append(jobs.add(own, new, "ana"))
        own.dispose()

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_add_all_adds_jobs_in_order_and_returns_known_ones(database: Database) -> None:
    known = store.new_job()
    first = jobs.add(database, known, "ana")
    new_jobs = [
        store.new_job(tags={"a": "1", "b": "2"}),
        known,
        store.new_job(key="k"),
        store.new_job(key="k"),
        store.new_job(held=True),
        store.new_job(after=(first,)),
    ]

    ids = jobs.add_all(database, new_jobs, "ana")

    assert ids == [first + 1, first, *[ids[2]] * 2, *ids[4:]]
    assert ids[0] < ids[2] < ids[4] < ids[5]
    shown = [documents.job(database, job_id) for job_id in ids]
    assert [job["uid"] for job in shown] == [
        new.uid for new in (new_jobs[0], known, new_jobs[2], new_jobs[2], *new_jobs[4:])
    ]
    states = ["queued", "queued", "queued", "queued", "held", "held"]
    assert [job["state"] for job in shown] == states
    assert shown[0]["tags"] == {"a": "1", "b": "2"}
    for job_id in ids:
        assert [event["kind"] for event in history.events(database, job_id)] == ["submitted"]


def test_add_all_adds_no_job_when_a_dependency_does_not_exist(database: Database) -> None:
    with pytest.raises(JobNotFound):
        jobs.add_all(database, [store.new_job(), store.new_job(after=(7,))], "ana")

    assert store.claim(database) is None


def test_a_waiting_job_is_cancelled_at_once(database: Database) -> None:
    job_id = store.add(database)
    assert steering.cancel(database, job_id, "bob", "wrong data") is JobState.CANCELLED
    assert steering.cancel(database, job_id, "bob") is JobState.CANCELLED
    assert store.claim(database) is None
    shown = documents.job(database, job_id)
    assert (shown["state"], shown["stop_reason"]) == ("cancelled", "cancelled")
    assert shown["finished_at"] is not None
    assert (shown["cancel_requested_by"], shown["cancel_reason"]) == ("bob", "wrong data")
    assert [event["kind"] for event in history.events(database, job_id)] == [
        "submitted",
        "cancelled",
    ]


def test_a_running_job_ends_as_cancelled_whatever_its_verdict(database: Database) -> None:
    fence = store.running(database)
    assert not attempts.requests(database, fence).cancel
    assert steering.cancel(database, fence.job_id, "bob") is JobState.RUNNING
    assert steering.cancel(database, fence.job_id, "bob") is JobState.RUNNING
    assert attempts.requests(database, fence).cancel
    assert attempts.renew(database, fence, store.LEASE_S).cancel
    verdict = replace(store.SUCCEEDED, best=store.best(1, 0.5), artifacts=store.FILES)
    assert verdicts.finish(database, fence, verdict) is JobState.CANCELLED
    shown = documents.job(database, fence.job_id)
    assert (shown["state"], shown["stop_reason"]) == ("cancelled", "cancelled")
    assert shown["best"]["value"] == 0.5
    assert [event["kind"] for event in history.events(database, fence.job_id)] == [
        "submitted",
        "claimed",
        "cancel_requested",
        "cancelled",
    ]


@pytest.mark.parametrize("verdict", [store.PREEMPTED, store.FAILED])
def test_a_job_with_a_cancel_request_is_not_queued_again_and_does_not_fail(
    database: Database, verdict: Verdict
) -> None:
    fence = store.running(database)
    steering.cancel(database, fence.job_id, "bob")
    assert verdicts.finish(database, fence, verdict) is JobState.CANCELLED
    shown = documents.job(database, fence.job_id)
    assert shown["failure"] is None
    assert shown["finished_at"] is not None
    assert store.claim(database) is None


@pytest.mark.parametrize("verdict", [store.SUCCEEDED, store.FAILED])
def test_a_succeeded_or_failed_job_cannot_be_cancelled(
    database: Database, verdict: Verdict
) -> None:
    fence = store.running(database)
    state = verdicts.finish(database, fence, verdict)
    with pytest.raises(WrongState, match=f"job {fence.job_id} has ended as {state}") as refused:
        steering.cancel(database, fence.job_id, "bob")
    assert (refused.value.state, refused.value.wanted) == (state, JobState.CANCELLED)
    assert documents.job(database, fence.job_id)["cancel_requested_at"] is None


def cancel(
    database: Database, job_id: int, ready: threading.Barrier, answers: dict[str, object]
) -> None:
    """Cancel a job when the other thread is ready too, and store the answer."""
    ready.wait()
    try:
        answers["canceller"] = steering.cancel(database, job_id, "bob")
    except WrongState as error:
        answers["canceller"] = error.state


def test_a_cancel_and_a_verdict_at_once_get_answers_that_agree(database_url: str) -> None:
    asking, ending = Database(database_url), Database(database_url)
    for _ in range(30):
        fence = store.running(ending)
        ready = threading.Barrier(2)
        answers: dict[str, object] = {}

        thread = threading.Thread(target=cancel, args=(asking, fence.job_id, ready, answers))
        thread.start()
        ready.wait()
        answers["worker"] = verdicts.finish(ending, fence, store.SUCCEEDED)
        thread.join()
        state = documents.job(ending, fence.job_id)["state"]
        assert answers["worker"] == state
        # A cancel in time ends the job as cancelled. A late one learns that the job has succeeded.
        asked_in_time = answers["canceller"] is JobState.RUNNING
        assert state == (JobState.CANCELLED if asked_in_time else JobState.SUCCEEDED)
        if not asked_in_time:
            assert answers["canceller"] is JobState.SUCCEEDED
    asking.dispose()
    ending.dispose()


@pytest.mark.parametrize("verdict", [store.SUCCEEDED, store.PREEMPTED])
def test_a_second_different_verdict_is_refused(database: Database, verdict: Verdict) -> None:
    fence = store.running(database)
    state = verdicts.finish(database, fence, verdict)
    with pytest.raises(Fenced):
        verdicts.finish(database, fence, store.FAILED)
    shown = documents.job(database, fence.job_id)
    assert shown["state"] == state
    assert shown["executions"][0]["outcome"] == verdict.outcome


def test_questions_about_a_missing_job_raise(database: Database) -> None:
    for ask in (documents.job, history.epochs, history.events):
        with pytest.raises(JobNotFound, match="no job 99"):
            ask(database, 99)
    with pytest.raises(JobNotFound):
        steering.cancel(database, 99, "bob")


@pytest.mark.parametrize("after", [JobState.HELD, JobState.RUNNING])
def test_an_illegal_move_rolls_its_transaction_back(database: Database, after: JobState) -> None:
    from sqlalchemy import update

    from fornada.db.clock import now
    from fornada.db.queue.moves import record_move
    from fornada.db.store.tables import Job

    fence = store.running(database)
    verdicts.finish(database, fence, store.SUCCEEDED)
    before = documents.job(database, fence.job_id), history.events(database, fence.job_id)

    def move() -> None:
        with database.begin() as connection:
            connection.execute(update(Job).values(state=after, lease_until=now()))
            record_move(connection, fence.job_id, (JobState.SUCCEEDED, after), "nobody")

    with pytest.raises(WrongState):
        move()
    assert (documents.job(database, fence.job_id), history.events(database, fence.job_id)) == before


def test_the_database_refuses_an_unknown_state(database: Database) -> None:
    from sqlalchemy.exc import IntegrityError

    store.add(database)
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.exec_driver_sql("UPDATE job SET state = 'paused'")
