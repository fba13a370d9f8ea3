"""Which other processes hold a lock of a file of SQLite that stops writers."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

ASK = """
import sys
from pathlib import Path
from fornada.db.sqlite_files import processes_that_lock
print(processes_that_lock(Path(sys.argv[1])))
"""
HOLDS = {"nothing": [], "reads": ["BEGIN", "SELECT * FROM t"], "writes": ["BEGIN IMMEDIATE"]}


def found(file: Path) -> str:
    """What another process finds."""
    command = [sys.executable, "-P", "-c", ASK, str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(params=["TRUNCATE", "WAL"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[sqlite3.Connection]":
    """A connection to `t.db`, with each kind of journal in turn."""
    with closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as connection:
        mode = connection.execute(f"PRAGMA journal_mode = {request.param}").fetchone()[0]
        connection.execute("CREATE TABLE t (n INTEGER)")
        connection.execute("INSERT INTO t VALUES (1)")
        assert mode == request.param.lower()
        yield connection


@pytest.mark.parametrize("what", HOLDS)
def test_only_who_stops_writers_is_named(
    opened: "sqlite3.Connection", tmp_path: Path, what: str
) -> None:
    for statement in HOLDS[what]:
        opened.execute(statement).fetchall()
    (mode,) = opened.execute("PRAGMA journal_mode").fetchone()
    # Beside a write-ahead log, nobody waits for a reader.
    stops = what == "writes" or (what == "reads" and mode == "truncate")
    assert found(tmp_path / "t.db") == str([os.getpid()] if stops else [])
    # This process holds no lock that would keep itself from writing.
    if what != "nothing":
        opened.execute("ROLLBACK")


def test_a_file_that_does_not_exist_is_locked_by_nobody(tmp_path: Path) -> None:
    assert found(tmp_path / "none.db") == "[]"
