"""Events in words: nothing that the record says of them is left out, nothing is raw."""

from collections.abc import Mapping
from typing import Any

import pytest

from fornada.cli.output import Output
from fornada.cli.timeline import in_words, timeline
from fornada.db.answers import EventAnswer

LOST: Mapping[str, Any] = {
    "attempt": 1,
    "outcome": "lost",
    "code": "WORKER_LOST",
    "message": "worker w was not heard of for longer than its lease\nmore",
    "host": "oven-1",
    "tries": 1,
    "retry_attempts": 3,
}


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        ("submitted", None, "submitted"),
        (
            "submitted",
            {"state": "held", "held": True, "after": [4, 5], "key": "k"},
            "submitted, held, after jobs 4, 5, key k",
        ),
        (
            "claimed",
            {"attempt": 2, "worker": "w", "host": "oven-1", "slot": "gpu:0"},
            "attempt 2 claimed on oven-1, gpu:0",
        ),
        (
            "requeued",
            {**LOST, "pause_s": 10.0, "avoid_host": "oven-1"},
            "attempt 1 lost on oven-1: WORKER_LOST: worker w was not heard of for longer than its "
            "lease; queued again for try 2 of 3 in 10.0 s, on another host if there is one",
        ),
        (
            "failed",
            {**LOST, "tries": 3, "message": "gone"},
            "failed; attempt 1 lost on oven-1: WORKER_LOST: gone, after 3 of 3 tries",
        ),
        (
            "requeued",
            {"attempt": 1, "outcome": "crashed", "code": "CRASHED", "message": "SIGKILL\nmore"},
            "attempt 1 crashed: SIGKILL; queued again",
        ),
        (
            "failed",
            {"attempt": 1, "outcome": "failed", "code": "INTERNAL", "message": "long " * 100},
            f"failed; attempt 1 failed: INTERNAL: {('long ' * 100)[:119].rstrip()}…",
        ),
        ("requeued", {"attempt": 3, "outcome": "preempted"}, "attempt 3 preempted; queued again"),
        ("released", {"after": [41]}, "released: job 41 ended"),
        ("released", {"waits_for": [4, 5]}, "released; waits for jobs 4, 5"),
        ("released", None, "released"),
        ("held", {"waits_for": [4]}, "held: waits for job 4"),
        (
            "resumed",
            {"attempt": 2, "epoch": 7, "batch": 3, "inexact": "keras 3.15, not 3.14"},
            "attempt 2 continues at epoch 7, batch 3; no longer exact: keras 3.15, not 3.14",
        ),
        ("started", {"attempt": 2}, "attempt 2 has read its data and trains"),
        ("cancelled", {"reason": "enough"}, "cancelled: enough"),
        ("cancelled", {"attempt": 1, "outcome": "cancelled"}, "cancelled; attempt 1 cancelled"),
        ("cancel_requested", {"reason": "enough", "grace_s": 0.0}, "asked to stop at once: enough"),
        ("cancel_requested", {"grace_s": 60.0}, "asked to stop within 1:00"),
        ("retried", {"fresh": True}, "retried, from the first epoch"),
        ("retried", {"waived": [3]}, "retried; no longer waits for the success of job 3"),
        (
            "moved",
            {"queue": {"from": "day", "to": "night"}, "priority": {"from": 0, "to": 5}},
            "moved from queue day to night, from priority 0 to 5",
        ),
        (
            "moved",
            {"priority": {"from": 0, "to": 5}, "top": True},
            "moved to the top, from priority 0 to 5",
        ),
        ("unheard_of", {"why": None, "how_many": [1, 2]}, "unheard of; how many 1, 2"),
    ],
)
def test_an_event_is_a_sentence(kind: str, detail: Mapping[str, Any] | None, said: str) -> None:
    assert in_words(kind, detail or {}) == said


def test_a_failure_that_was_told_above_is_not_told_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at, actor = "2026-03-01T22:00:00Z", "worker w"
    events: list[EventAnswer] = [
        {"at": at, "actor": actor, "kind": "failed", "detail": dict(LOST)},
        {"at": at, "actor": actor, "kind": "held", "detail": None},
    ]
    timeline(events, Output(), known={"another"})
    assert "WORKER_LOST: worker w was not heard of" in capsys.readouterr().out
    timeline(events, Output(), known={LOST["message"]})
    failed, held = capsys.readouterr().out.splitlines()
    assert failed.endswith("failed; attempt 1 lost on oven-1, after 1 of 3 tries  (by worker w)")
    assert held.endswith("held  (by worker w)")
