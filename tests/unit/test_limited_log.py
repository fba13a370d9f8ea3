"""A flood of bad wake-ups fills no log, and is counted."""

import logging

import pytest

from fornada.worker.wakeups.limited_log import LINES, PERIOD_S, LimitedLog


def test_the_first_lines_are_written_and_the_others_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [1000.0]
    log = LimitedLog(logging.getLogger("flood"), lambda: now[0])
    for number in range(LINES + 200_000):
        log.warning("bad %d", number)
    assert caplog.messages == [f"bad {number}" for number in range(LINES)]

    now[0] += PERIOD_S - 1
    log.report()
    assert len(caplog.messages) == LINES
    now[0] += 1
    log.report()
    log.report()
    log.warning("bad again")

    assert caplog.messages[LINES:] == [
        "200000 more wake-ups were dropped or failed, which are not logged one by one",
        "bad again",
    ]
