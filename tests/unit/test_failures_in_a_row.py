"""When failures in a row stop a worker, and when it tries again."""

from typing import Any

import pytest

from fornada.db.records import Claim, Failure, Fence
from fornada.db.states import FailureCode
from fornada.worker.fitness.failures_in_a_row import LIMIT, FailuresInARow, cause

PAUSE_S = 10.0
CRASH = Failure(FailureCode.CRASHED, "the trainer ended")


class Host:
    """Failures in a row by a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.row = FailuresInARow(PAUSE_S, lambda: self.now)
        self.number = 0

    def claim(self) -> Fence | None:
        """Claim a job, if one may be claimed."""
        if not self.row.may_try():
            return None
        self.number += 1
        fence = Fence(self.number, 1)
        self.row.claimed(fence)
        return fence

    def fail(self) -> None:
        """Claim a job, and see it fail in its own way."""
        fence = self.claim()
        assert fence is not None
        self.row.failed(fence, f"spec {fence.job_id}", CRASH)


def stopped() -> Host:
    host = Host()
    for _ in range(LIMIT):
        host.fail()
    return host


def test_a_host_takes_no_more_jobs_after_so_many_failures() -> None:
    host = Host()
    for _ in range(LIMIT - 1):
        host.fail()
    assert host.row.problem is None
    host.fail()
    assert "CRASHED" in str(host.row.problem)
    assert (host.claim(), host.row.ready()) == (None, False)


def test_failures_with_one_cause_count_once() -> None:
    host = Host()
    for _ in range(10 * LIMIT):
        fence = host.claim()
        assert fence is not None
        host.row.failed(fence, "the same spec", CRASH)
    assert host.row.problem is None


def test_an_epoch_in_between_begins_the_row_again() -> None:
    host = Host()
    for _ in range(10 * LIMIT):
        host.fail()
        host.row.trained()
    assert host.row.problem is None


def test_one_job_is_tried_after_a_pause_that_grows() -> None:
    host = stopped()
    for pause_s in (PAUSE_S, 4 * PAUSE_S, 16 * PAUSE_S, 600.0, 600.0):
        host.now += pause_s - 0.1
        assert host.claim() is None
        host.now += 0.1
        tried = host.claim()
        assert tried is not None
        # Only one, however long it takes.
        host.now += 10_000
        assert host.claim() is None
        host.row.failed(tried, "whatever", CRASH)
    host.now += 600.0
    assert host.claim() is not None
    host.row.trained()
    assert host.row.problem is None
    assert host.claim() is not None
    assert host.claim() is not None


def test_a_claim_of_nothing_or_a_job_that_says_nothing_lets_another_be_tried_at_once() -> None:
    host = stopped()
    host.now += PAUSE_S
    assert host.row.may_try()
    host.row.claimed(None)
    tried = host.claim()
    assert tried is not None
    host.row.ended(tried)
    assert host.claim() is not None
    assert host.row.problem is not None


def test_an_attempt_that_began_before_does_not_end_the_try() -> None:
    host = Host()
    early = host.claim()
    assert early is not None
    for _ in range(LIMIT):
        host.fail()
    host.now += PAUSE_S
    assert host.claim() is not None
    host.row.failed(early, "something else", CRASH)
    host.row.ended(early)
    assert not host.row.ready()


def claimed(uid: str = "a", **spec: Any) -> Claim:
    made = {"name": "digits", "data": {"train": "Data/Train", "seed": 1}, "model": []} | spec
    return Claim(
        job_id=1,
        uid=uid,
        attempt=1,
        name="digits",
        queue="default",
        spec=made,
        time_limit_s=None,
        retry_attempts=3,
        cancel_requested=False,
        resume_from=(),
        gpus="auto",
    )


def causes(code: FailureCode, *claims: Claim) -> int:
    """How many different causes these claims have that fail with a code; 0 if it is not counted."""
    return len({cause(claim, Failure(code, "")) for claim in claims} - {None})


def test_what_counts_as_one_cause() -> None:
    named = claimed("b", name="other", tags={"team": "red"})
    model = claimed("c", model=["Flatten"])
    seed = claimed("d", data={"train": "Data/Train", "seed": 2})
    elsewhere = claimed("e", data={"train": "Data/Other", "seed": 1})
    all_of_them = (claimed(), named, model, seed, elsewhere)
    assert causes(FailureCode.ARTIFACT_WRITE, *all_of_them) == 5
    assert causes(FailureCode.CRASHED, *all_of_them) == 4
    # Anybody may name folders that do not exist, and push anything into a queue.
    assert causes(FailureCode.DATA_MISSING, *all_of_them, claimed(data=[1])) == 0


BY_ITSELF = [
    *("SPEC_SYNTAX", "SPEC_INVALID", "PATH_REFUSED", "MODEL_UNTRUSTED", "MODEL_INVALID"),
    *("RESOURCE_LIMIT", "DATA_MISSING", "DATA_INVALID", "DIVERGED", "TIME_LIMIT"),
]


@pytest.mark.parametrize("code", BY_ITSELF)
def test_a_job_that_is_wrong_by_itself_counts_as_no_failure_of_the_host(code: str) -> None:
    assert causes(FailureCode(code), claimed()) == 0
