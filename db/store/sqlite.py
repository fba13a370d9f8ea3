"""Connections to SQLite, for workers on one host.

One writer writes at a time, and the others wait. A commit returns when its data is on disk.
"""

import sqlite3

from sqlalchemy import URL, Connection, Engine, create_engine, event

# Seconds that a writer waits for the other writers. Each one writes for milliseconds, but SQLite
# does not serve them in order: eight busy writers kept another one waiting for 15 s in a test.
BUSY_TIMEOUT_S = 60.0
# Name of the execution option that marks a transaction that only reads.
READ_ONLY = "fornada_reads"


def journal_mode(version: tuple[int, int, int]) -> str:
    """The journal mode that is safe with a version of SQLite.

    A bug of SQLite can lose a commit when the write-ahead log is reset while another connection
    reads. It is fixed in 3.51.3, and also in 3.50.7 and 3.44.6.

    >>> journal_mode((3, 40, 1)), journal_mode((3, 50, 7)), journal_mode((3, 51, 2))
    ('TRUNCATE', 'WAL', 'TRUNCATE')
    """
    safe = version >= (3, 51, 3) or any(
        version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 50, 7), (3, 44, 6))
    )
    return "WAL" if safe else "TRUNCATE"


def connected(url: URL) -> Engine:
    """Create the engine for a file, with `BEGIN IMMEDIATE` and `synchronous=FULL`."""
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_mode = {journal_mode(sqlite3.sqlite_version_info)}")


def _begin(connection: Connection) -> None:
    # The driver would send a plain BEGIN, and only before the first write. Two transactions that
    # have read and then both want to write would fail; with BEGIN IMMEDIATE the second one waits.
    only_reads = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")
