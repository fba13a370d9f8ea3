"""Ctrl-C leaves no transaction open in SQLite, because an open one stops all other writers."""

import signal
import sqlite3
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fornada.db.queue import attempts
from fornada.db.reads import documents, history
from fornada.db.store import interrupts
from fornada.db.store.session import Database
from tests.services import store

# The test interrupts a call at every 61st or 7th function call or return. Both are primes, so that
# the points fall on different steps of a loop.
STRIDES = {"read": 61, "write": 7}


@pytest.mark.parametrize("kind", STRIDES)
def test_an_interrupt_at_any_point_leaves_no_transaction_open(
    sqlite_database_url: str, kind: str
) -> None:
    first = Database(sqlite_database_url)
    fence = store.running(first)
    first.dispose()
    points = 0
    for point in range(1, 1_000_000, STRIDES[kind]):
        # A new database object each time, because an earlier interrupt may have harmed the pool.
        database = Database(sqlite_database_url)
        history.state(database, fence.job_id)
        interrupt = _Interrupt(point)
        try:
            with interrupt:
                if kind == "write":
                    attempts.renew(database, fence, 60.0)
                else:
                    documents.job(database, fence.job_id)
        except KeyboardInterrupt:
            # Inside `except`, because here the exception still keeps its stack frames alive.
            _assert_can_write(sqlite_database_url)
            points += 1
        database.dispose()
        if not interrupt.came:
            break
    assert points > 20


def test_a_second_interrupt_is_not_delayed() -> None:
    steps: list[str] = []
    try:
        with interrupts.delayed_signals():
            signal.raise_signal(signal.SIGINT)
            steps.append("after the first")
            signal.raise_signal(signal.SIGINT)
            steps.append("after the second")
    except KeyboardInterrupt:
        steps.append("interrupted")
    assert steps == ["after the first", "interrupted"]


def test_the_delayed_handler_runs_at_the_end_and_is_restored() -> None:
    heard: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with interrupts.delayed_signals(), interrupts.delayed_signals():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_do_not_change_the_handlers() -> None:
    seen: list[Any] = []

    def look() -> None:
        with interrupts.delayed_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


class _Interrupt:
    """Raises SIGINT at the given function call or return; `came` says whether it got that far."""

    def __init__(self, point: int) -> None:
        self.came = False
        self._left = point

    def __enter__(self) -> None:
        sys.setprofile(self._count)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self._left -= 1
        if self._left == 0:
            self.came = True
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)


def _assert_can_write(url: str) -> None:
    other = sqlite3.connect(Path(url.removeprefix("sqlite:///")), timeout=0, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("ROLLBACK")
    finally:
        other.close()
