"""What is said when a job is extended that EarlyStopping may end."""

from typing import Any, cast

import pytest

from fornada.client.clone import patience_warnings
from fornada.db.answers import EpochAnswer, JobAnswer

STOPPING = {
    "monitor": "val_loss",
    "min_delta": 0.0,
    "patience": 3,
    "mode": "auto",
    "baseline": None,
    "start_from_epoch": 0,
}


def job(*callbacks: Any) -> JobAnswer:
    return cast(JobAnswer, {"id": 7, "spec": {"callbacks": [*callbacks]}})


def epochs(*losses: float) -> list[EpochAnswer]:
    return [cast(EpochAnswer, {"metrics": {"val_loss": loss}}) for loss in losses]


@pytest.mark.parametrize(
    ("losses", "more", "left"),
    [
        ((3.0, 2.0, 1.0), 10, None),
        ((3.0, 1.0, 2.0), 10, 2),
        ((3.0, 1.0, 2.0, 2.0), 10, 1),
        # It ends before its last epoch only if it could run more.
        ((3.0, 1.0, 2.0), 2, None),
    ],
)
def test_patience_that_may_end_the_job_is_told(
    losses: tuple[float, ...], more: int, left: int | None
) -> None:
    of_job = job("TerminateOnNaN", {"EarlyStopping": STOPPING})
    found = patience_warnings(of_job, epochs(*losses), more)
    assert [problem.path for problem in found] == ["callbacks.EarlyStopping.patience"] * (
        left is not None
    )
    assert all(f"after {left} more" in problem.message for problem in found)


def test_a_job_without_early_stopping_has_no_warning() -> None:
    assert patience_warnings(job(), epochs(1.0, 2.0), 10) == ()
