"""Ctrl-C leaves no transaction open in SQLite, where it would keep everybody else from writing."""

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

# Of the points of a call every so manieth is tried: primes, so that no loop hides between.
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
        # One of its own, whose pool no interrupt has hit before.
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
            # While the exception holds the frames that it has left.
            _write_at_once(sqlite_database_url)
            points += 1
        database.dispose()
        if not interrupt.came:
            break
    assert points > 20


def test_whoever_interrupts_twice_does_not_wait() -> None:
    past: list[str] = []
    try:
        with interrupts.late():
            signal.raise_signal(signal.SIGINT)
            past.append("first")
            signal.raise_signal(signal.SIGINT)
            past.append("second")
    except KeyboardInterrupt:
        past.append("end")
    assert past == ["first", "end"]


def test_handlers_are_as_they_were_and_hear_of_it() -> None:
    heard: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with interrupts.late(), interrupts.late():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_signals_alone() -> None:
    seen: list[Any] = []

    def look() -> None:
        with interrupts.late():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


class _Interrupt:
    """Ctrl-C when so many functions have been called or left, if there are so many."""

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


def _write_at_once(url: str) -> None:
    other = sqlite3.connect(Path(url.removeprefix("sqlite:///")), timeout=0, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("ROLLBACK")
    finally:
        other.close()
