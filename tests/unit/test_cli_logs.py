"""The last line of `fornada logs`: how the job ended."""

from typing import Any, cast

import pytest

from fornada.cli.logs import ending
from fornada.db.answers import JobAnswer

CRASHED = {
    "code": "CRASHED",
    "message": "the trainer ended after epoch 2 without a verdict: SIGKILL",
}
EXECUTIONS = [
    {"attempt": 1, "outcome": "crashed", "failure": CRASHED},
    {"attempt": 2, "outcome": "succeeded", "failure": None},
]


def job(**changed: Any) -> JobAnswer:
    document = {
        "id": 7,
        "state": "succeeded",
        "monitor": "val_loss",
        "best": {"epoch": 2, "value": 0.5},
        "epochs_run": 3,
        "failure": None,
        "executions": EXECUTIONS,
        "spec": {"fit": {"epochs": 3}},
    }
    return cast(JobAnswer, document | changed)


@pytest.mark.parametrize(
    ("document", "attempt", "said"),
    [
        (job(), None, "job 7 succeeded after 3 of 3 epochs, best val_loss 0.5 at 2"),
        (job(best=None), None, "job 7 succeeded after 3 of 3 epochs"),
        (
            job(state="failed", failure=CRASHED, epochs_run=2),
            None,
            f"job 7 failed after 2 of 3 epochs: CRASHED: {CRASHED['message']}",
        ),
        (job(state="running"), None, "job 7 is running; read on: fornada logs -f 7"),
        (job(), 1, f"attempt 1 crashed: CRASHED: {CRASHED['message']}"),
        (job(), 2, "attempt 2 succeeded"),
        (
            job(state="running", executions=[EXECUTIONS[0] | {"outcome": None}]),
            1,
            "job 7 is running; read on: fornada logs -f 7",
        ),
    ],
)
def test_a_log_ends_with_the_verdict(document: JobAnswer, attempt: int | None, said: str) -> None:
    assert ending(document, attempt) == said
