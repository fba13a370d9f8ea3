"""Retries of attempts that crashed or were lost: how often, after which pause, on which host."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from fornada.db.answers import EventAnswer, JobAnswer
from fornada.db.clock import later, now
from fornada.db.errors import Fenced
from fornada.db.queue import (
    attempts,
    claims,
    expiry,
    logs,
    moves,
    steering,
    upkeep,
    verdicts,
    workers,
)
from fornada.db.reads import documents, history
from fornada.db.records import Claim, Failure, LogChunkRow, Verdict, WorkerProcess
from fornada.db.states import AttemptOutcome, FailureCode, JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Event, Job
from tests.services import store
from tests.until import until

LOST = Verdict(AttemptOutcome.LOST)


def failed(code: FailureCode) -> Verdict:
    """A failure with this code."""
    return Verdict(AttemptOutcome.FAILED, failure=Failure(code, "no room left", "Traceback …"))


def claimed(database: Database, **changes: Any) -> Claim:
    """Claim a job. There must be one."""
    claim = store.claim(database, **changes)
    assert claim is not None
    return claim


def claimed_after_pause(database: Database) -> Claim:
    """Claim a job as soon as its pause is over."""
    claim = until(lambda: store.claim(database), 30)
    assert claim is not None
    return claim


def pause_of(shown: JobAnswer, since: EventAnswer) -> float:
    """Seconds from an event to the end of a job's pause."""
    until = datetime.fromisoformat(shown["not_before"])
    return (until - datetime.fromisoformat(since["at"])).total_seconds()


RETRIED = [
    store.CRASHED,
    LOST,
    failed(FailureCode.DISK_FULL),
    failed(FailureCode.ARTIFACT_WRITE),
    failed(FailureCode.HOST_OOM),
]


@pytest.mark.parametrize("verdict", RETRIED, ids=["crash", "loss", "disk", "write", "memory"])
def test_a_failure_that_the_spec_did_not_cause_is_retried_after_a_pause(
    database: Database, verdict: Verdict
) -> None:
    fence = store.running(database)
    assert verdicts.finish(database, fence, verdict, pause_s=store.LONG_S) is JobState.QUEUED
    shown = documents.job(database, fence.job_id)
    assert (shown["state"], shown["tries"], shown["avoid_host"]) == ("queued", 1, "w1")
    # Only the attempt has failed. The job has not.
    assert (shown["failure"], shown["stop_reason"]) == (None, None)
    assert (shown["started_at"], shown["finished_at"], shown["duration_s"]) == (None,) * 3
    (execution,) = shown["executions"]
    assert execution["outcome"] == verdict.outcome
    assert execution["failure"]["code"] in set(FailureCode)
    assert execution["ended_at"] is not None
    last = history.events(database, fence.job_id)[-1]
    assert (last["kind"], last["actor"]) == ("requeued", "w1")
    expected = {"attempt": 1, "outcome": verdict.outcome, "tries": 1, "pause_s": store.LONG_S}
    assert last["detail"].items() >= expected.items()
    assert pause_of(shown, last) == pytest.approx(store.LONG_S, abs=1.0)
    # No claim takes the job before the pause is over.
    assert store.claim(database) is None
    assert upkeep.claimable(database) == {}


@pytest.mark.parametrize(
    "code",
    [code for code in FailureCode if code not in {"DISK_FULL", "ARTIFACT_WRITE", "HOST_OOM"}],
)
def test_a_failure_that_the_spec_caused_is_not_retried(
    database: Database, code: FailureCode
) -> None:
    fence = store.running(database)
    assert verdicts.finish(database, fence, failed(code)) is JobState.FAILED
    assert documents.job(database, fence.job_id)["tries"] == 0


def test_a_failure_of_an_unfit_host_is_no_try(database: Database) -> None:
    fence = store.running(database, retry_attempts=1)
    verdict = replace(failed(FailureCode.ARTIFACT_WRITE), counts=False)
    assert verdicts.finish(database, fence, verdict, pause_s=0.0) is JobState.QUEUED
    shown = documents.job(database, fence.job_id)
    assert (shown["attempts"], shown["tries"], shown["avoid_host"]) == (1, 0, "w1")
    again = claimed_after_pause(database)
    # The data of the job may be there on another host, or later.
    verdict = replace(failed(FailureCode.DATA_MISSING), counts=False)
    assert verdicts.finish(database, again.fence, verdict) is JobState.QUEUED


def test_a_job_fails_with_the_reason_after_its_last_try(database: Database) -> None:
    fence = store.running(database, retry_attempts=3)
    pauses = []
    for attempt in (1, 2):
        assert verdicts.finish(database, fence, store.CRASHED, pause_s=0.001) is JobState.QUEUED
        last = history.events(database, fence.job_id)[-1]
        pauses.append(last["detail"]["pause_s"])
        assert last["detail"]["attempt"] == attempt
        fence = claimed_after_pause(database).fence
    assert pauses == [0.001, 0.004]
    assert verdicts.finish(database, fence, store.CRASHED) is JobState.FAILED
    shown = documents.job(database, fence.job_id)
    assert (shown["tries"], shown["attempts"]) == (3, 3)
    assert shown["failure"]["code"] == "CRASHED"
    assert "SIGSEGV" in shown["failure"]["message"]
    last = history.events(database, fence.job_id)[-1]
    assert last["kind"] == "failed"
    assert last["detail"].items() >= {"code": "CRASHED", "host": "w1", "tries": 3}.items()
    assert [run["outcome"] for run in shown["executions"]] == ["crashed"] * 3


def test_a_job_with_one_try_is_not_retried(database: Database) -> None:
    fence = store.running(database, retry_attempts=1)
    assert verdicts.finish(database, fence, store.CRASHED) is JobState.FAILED


def test_a_preemption_does_not_count_as_a_try(database: Database) -> None:
    fence = store.running(database, retry_attempts=1)
    for _ in range(4):
        assert verdicts.finish(database, fence, store.PREEMPTED) is JobState.QUEUED
        fence = claimed(database).fence
    shown = documents.job(database, fence.job_id)
    assert (shown["tries"], shown["attempts"], shown["avoid_host"]) == (0, 5, None)


def test_a_job_with_a_cancel_request_is_not_retried(database: Database) -> None:
    fence = store.running(database)
    steering.cancel(database, fence.job_id, "bob@desk", "wrong data")
    assert verdicts.finish(database, fence, store.CRASHED) is JobState.CANCELLED
    shown = documents.job(database, fence.job_id)
    assert (shown["state"], shown["failure"], shown["not_before"]) == ("cancelled", None, None)
    detail = history.events(database, fence.job_id)[-1]["detail"]
    assert detail.items() >= {"by": "bob@desk", "reason": "wrong data"}.items()


def test_a_job_whose_lease_ran_out_is_retried(database: Database) -> None:
    fence = store.expired(database)
    assert expiry.expire_leases(database, pause_s=store.LONG_S) == [fence.job_id]
    shown = documents.job(database, fence.job_id)
    assert (shown["state"], shown["tries"], shown["failure"]) == ("queued", 1, None)
    assert shown["executions"][0]["failure"]["code"] == "WORKER_LOST"
    last = history.events(database, fence.job_id)[-1]
    assert (last["kind"], last["actor"]) == ("requeued", "upkeep")
    assert "worker w1 on w1" in last["detail"]["message"]


def test_the_failure_of_a_lost_attempt_has_its_host_and_the_end_of_its_log(
    database: Database,
) -> None:
    fence = store.expired(database, retry_attempts=1)
    for number, data in enumerate([b"epoch 1\nepo", b"ch 2\n\n"], start=1):
        logs.record_log(database, fence, LogChunkRow(number, 0, data))
    expiry.expire_leases(database)
    failure = documents.job(database, fence.job_id)["failure"]
    assert "worker w1 on w1" in failure["message"]
    assert failure["message"].endswith("; its log ends with: epoch 2")
    assert failure["traceback"] == "epoch 1\nepoch 2"


def test_the_best_model_stays_when_its_attempt_is_lost(database: Database) -> None:
    fence = store.expired(database, retry_attempts=1)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5))])
    expiry.expire_leases(database)
    assert documents.job(database, fence.job_id)["best"]["epoch"] == 1


def test_the_attempts_of_a_worker_that_starts_again_are_lost(database: Database) -> None:
    mine = store.running(database, priority=3)
    elsewhere = store.add(database, priority=2)
    claimed(database, worker="w1", host="other")
    others = store.add(database, priority=1)
    claimed(database, worker="w2")
    assert expiry.abandon(database, worker="w1", host="w1", pause_s=store.LONG_S) == [mine.job_id]
    assert expiry.abandon(database, worker="w1", host="w1") == []
    assert [history.state(database, i) for i in (elsewhere, others)] == [JobState.RUNNING] * 2
    last = history.events(database, mine.job_id)[-1]
    assert (last["kind"], last["actor"]) == ("requeued", "w1")
    assert "worker w1 on w1" in last["detail"]["message"]
    with pytest.raises(Fenced):
        attempts.renew(database, mine, store.LEASE_S)


def test_the_attempts_of_a_killed_worker_are_lost_unless_its_name_is_taken(
    database: Database,
) -> None:
    facts = store.worker(host="w1")
    workers.register(database, facts)
    mine = store.running(database, priority=1)
    others = store.add(database)
    claimed(database, worker="w2")
    dead = WorkerProcess("w1", facts.host, facts.pid)
    for other in (replace(dead, pid=facts.pid + 1), replace(dead, host="other")):
        assert expiry.bury(database, other) == []
        assert workers.lost_jobs(database, [other]) == set()
    assert [row["name"] for row in workers.alive(database, store.LONG_S)] == ["w1"]
    # Before anything is written, readers know it.
    assert workers.lost_jobs(database, [dead]) == {mine.job_id}
    assert workers.alive(database, store.LONG_S, [dead]) == []

    assert expiry.bury(database, dead, pause_s=0.0) == [mine.job_id]
    assert expiry.bury(database, dead) == []
    assert workers.alive(database, store.LONG_S) == []
    assert history.state(database, others) is JobState.RUNNING
    assert documents.job(database, mine.job_id)["executions"][0]["outcome"] == "lost"
    assert claimed(database, worker="w3").job_id == mine.job_id
    with pytest.raises(Fenced):
        attempts.renew(database, mine, store.LEASE_S)


def test_a_host_that_crashed_a_job_leaves_the_job_to_other_hosts(database: Database) -> None:
    store.workers_up(database, "w1", "w2")
    job_id = store.crashed(database, "w1")
    behind = store.add(database, priority=-1)
    # The host takes another job first, although that one has a lower priority.
    assert claimed(database, worker="w1", host="host-of-w1").job_id == behind
    assert store.claim(database, worker="w1", host="host-of-w1") is None
    assert claimed(database, worker="w2", host="host-of-w2").job_id == job_id


@pytest.mark.parametrize(
    "other",
    [
        {"queues": ["night"]},
        {"state": "draining"},
        {"host": "host-of-w1"},
        {"slots": []},
    ],
    ids=["another queue", "draining", "same host", "no slot"],
)
def test_a_host_that_crashed_a_job_takes_it_when_no_other_host_can(
    database: Database, other: dict[str, Any]
) -> None:
    store.workers_up(database, "w1")
    store.workers_up(database, "w2", **other)
    job_id = store.crashed(database, "w1")
    assert claimed(database, worker="w1", host="host-of-w1").job_id == job_id


def test_a_gpu_job_waits_only_for_another_host_with_a_gpu(database: Database) -> None:
    store.workers_up(database, "w1", slots=[store.GPU])
    store.workers_up(database, "w2")
    job_id = store.add(database, gpus="1")
    slot = {"worker": "w1", "slot": "gpu:0", "host": "host-of-w1", "has_gpu": True}
    verdicts.finish(database, claimed(database, **slot).fence, store.CRASHED, pause_s=0.0)
    assert claimed(database, **slot).job_id == job_id


def test_another_host_counts_only_while_its_worker_is_alive(database: Database) -> None:
    store.workers_up(database, "w1", "w2")
    job_id = store.crashed(database, "w1")
    assert store.claim(database, worker="w1", host="host-of-w1") is None
    workers.gone(database, "w2")
    assert claimed(database, worker="w1", host="host-of-w1").job_id == job_id


def test_the_same_verdict_again_gets_the_same_answer(database: Database) -> None:
    ends: list[tuple[Verdict, JobState]] = [
        (store.SUCCEEDED, JobState.SUCCEEDED),
        (store.FAILED, JobState.FAILED),
        (store.PREEMPTED, JobState.QUEUED),
        (store.CRASHED, JobState.QUEUED),
    ]
    for priority, (verdict, state) in enumerate(ends):
        # A higher priority than the jobs that went back to the queue.
        fence = store.running(database, priority=priority)
        assert verdicts.finish(database, fence, verdict, pause_s=store.LONG_S) is state
        before = documents.job(database, fence.job_id), history.events(database, fence.job_id)
        assert verdicts.finish(database, fence, verdict, pause_s=store.LONG_S) is state
        after = documents.job(database, fence.job_id), history.events(database, fence.job_id)
        assert after == before
        with pytest.raises(Fenced):
            verdicts.finish(database, fence, replace(verdict, outcome=AttemptOutcome.TIMED_OUT))


def test_the_same_verdict_after_the_next_claim_gets_the_same_answer(database: Database) -> None:
    fence = store.running(database)
    verdicts.finish(database, fence, store.PREEMPTED)
    following = claimed(database, worker="w2")
    assert verdicts.finish(database, fence, store.PREEMPTED) is JobState.QUEUED
    attempts.renew(database, following.fence, store.LEASE_S)


def test_a_verdict_of_a_lost_attempt_is_refused(database: Database) -> None:
    fence = store.expired(database)
    expiry.expire_leases(database)
    with pytest.raises(Fenced):
        verdicts.finish(database, fence, store.SUCCEEDED)


def test_a_lost_attempt_has_run_until_it_last_renewed_its_lease(database: Database) -> None:
    fence = store.running(database)
    store.age_attempt(database, fence, claimed_s=1000.0)
    attempts.renew(database, fence, lease_s=store.LEASE_S)
    with database.begin() as connection:
        # Its worker died 600 s ago, and nobody was there to notice.
        last = {"lease_until": later(now(), store.LEASE_S - 600.0)}
        connection.execute(update(Job).where(Job.c.id == fence.job_id).values(last))
    assert expiry.expire_leases(database) == [fence.job_id]
    (execution,) = documents.job(database, fence.job_id)["executions"]
    assert execution["ended_at"] is not None
    assert execution["claimed_at"] is not None
    begin, end = map(datetime.fromisoformat, (execution["claimed_at"], execution["ended_at"]))
    assert (end - begin).total_seconds() == pytest.approx(400.0, abs=5.0)
    steering.cancel(database, fence.job_id, "ana")
    assert documents.job(database, fence.job_id)["duration_s"] == pytest.approx(400.0, abs=5.0)


def test_a_lost_attempt_has_run_at_least_as_long_as_its_epochs_took(database: Database) -> None:
    fence = store.running(database)
    attempts.started(database, fence, store.STARTED)
    attempts.record_epochs(database, fence, [store.epoch(number, loss=0.5) for number in (1, 2)])
    took_s = sum(row["seconds"] for row in history.epochs(database, fence.job_id))
    assert took_s > 0
    expiry.abandon(database, worker="w1", host="w1")
    (execution,) = documents.job(database, fence.job_id)["executions"]
    begin, end = (datetime.fromisoformat(str(execution[at])) for at in ("started_at", "ended_at"))
    assert (end - begin).total_seconds() == pytest.approx(took_s, abs=0.01)


def test_a_job_of_a_killed_worker_goes_on_before_younger_jobs_if_no_other_host_lives(
    database: Database,
) -> None:
    store.workers_up(database, "w1")
    first = store.running(database)
    store.add(database)
    expiry.abandon(database, worker="w1", host=store.worker("w1").host, pause_s=0.0)
    again = claimed(database, host=store.worker("w1").host)
    assert (again.job_id, again.attempt) == (first.job_id, 2)


def test_all_attempts_of_a_job_share_its_time_limit_until_a_person_retries_it(
    database: Database,
) -> None:
    def ran(claim: Claim, seconds: float, verdict: Verdict) -> None:
        store.age_attempt(database, claim.fence, claimed_s=seconds)
        verdicts.finish(database, claim.fence, verdict)

    job_id = store.add(database, time_limit_s=100.0)
    first = claimed(database)
    assert first.used_s == 0.0
    ran(first, 30.0, store.PREEMPTED)
    second = claimed(database)
    assert second.used_s == pytest.approx(30.0, abs=2.0)
    # The claim whose answer was lost has the same.
    again = claims.unanswered(database, worker="w1", slot="cpu:0", lease_s=60.0)
    assert again is not None
    assert again.used_s == second.used_s
    ran(second, 20.0, store.PREEMPTED)
    third = claimed(database)
    assert third.used_s == pytest.approx(50.0, abs=2.0)
    ran(third, 50.0, Verdict(AttemptOutcome.TIMED_OUT))
    steering.retry(database, job_id, "ana")
    with database.begin() as connection:
        # The attempts above were made older than they are; the retry came after them.
        of_retry = update(Event).where(Event.c.kind == moves.RETRIED)
        connection.execute(of_retry.values(at=later(now(), -1.0)))
    fourth = claimed(database)
    assert fourth.used_s == 0.0
    verdicts.finish(database, fourth.fence, store.PREEMPTED)
    fifth = claimed(database)
    assert fifth.used_s == pytest.approx(0.0, abs=2.0)


def test_unanswered_returns_a_claim_whose_answer_got_lost(database: Database) -> None:
    assert claims.unanswered(database, worker="w1", slot="cpu:0", lease_s=60.0) is None
    store.add(database)
    first = claimed(database, lease_s=-1.0)
    for other in ({"worker": "w2", "slot": "cpu:0"}, {"worker": "w1", "slot": "cpu:1"}):
        assert claims.unanswered(database, lease_s=60.0, **other) is None
    before = history.events(database, first.job_id)
    assert claims.unanswered(database, worker="w1", slot="cpu:0", lease_s=60.0) == first
    assert history.events(database, first.job_id) == before
    # `unanswered` has started the lease again.
    assert expiry.expire_leases(database) == []
