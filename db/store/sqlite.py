"""How SQLite is connected to: one host; writers wait in line, a commit is on disk."""

import sqlite3

from sqlalchemy import URL, Connection, Engine, create_engine, event

# How long a writer of SQLite tries for its turn. A turn takes milliseconds, but there is no
# line: eight writers that never pause were seen to keep one out for 15 s.
BUSY_TIMEOUT_S = 60.0
# Execution option of a transaction that only reads.
READS = "fornada_reads"


def journal_mode(version: tuple[int, int, int]) -> str:
    """The journal that a version of SQLite can be trusted with.

    Before 3.51.3 a write-ahead log that is reset while another connection reads can lose a
    commit; the cure is also in 3.50.7 and 3.44.6.

    >>> journal_mode((3, 40, 1)), journal_mode((3, 50, 7)), journal_mode((3, 51, 2))
    ('TRUNCATE', 'WAL', 'TRUNCATE')
    """
    cured = version >= (3, 51, 3) or any(
        version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 50, 7), (3, 44, 6))
    )
    return "WAL" if cured else "TRUNCATE"


def connected(url: URL) -> Engine:
    """An engine for a file; `BEGIN IMMEDIATE`, `synchronous=FULL`."""
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )
    event.listen(engine, "connect", _sqlite_connected)
    event.listen(engine, "begin", _sqlite_begins)
    return engine


def _sqlite_connected(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_mode = {journal_mode(sqlite3.sqlite_version_info)}")


def _sqlite_begins(connection: Connection) -> None:
    # The driver's own BEGIN comes late and is deferred: two readers that both want to write
    # would then fail, not wait.
    reads = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
