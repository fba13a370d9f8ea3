"""Connections to SQLite, for workers on one host.

One writer writes at a time, and the others wait. A commit returns when its data is on disk.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event

from fornada.db.file_problems import FileProblem, FileTrouble
from fornada.db.json_values import read_json
from fornada.db.sqlite_files import is_hidden, may_write, read_only_uri

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
    """Create the engine for a file, with `BEGIN IMMEDIATE` and `synchronous=FULL`.

    A file that this process may not write is opened to be read.
    """
    engine = create_engine(
        url,
        hide_parameters=True,
        json_deserializer=read_json,
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def waiting_at_most(connection: Connection, seconds: float) -> Iterator[None]:
    """Let the next transactions of a connection wait so many seconds for others.

    That also limits how long a commit that waits for readers keeps new readers out.
    """
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"{driver!r} is not a connection of sqlite3")
    driver.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")


def is_busy(error: BaseException | None) -> bool:
    """Whether the driver says that another connection has locked the file for too long."""
    code = getattr(error, "sqlite_errorcode", None)
    # The lowest byte is the kind of the error: https://www.sqlite.org/rescode.html
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def file_problem(url: URL, error: BaseException | None) -> FileProblem | None:
    """What is wrong with the file of a database, from the error of the driver; None if nothing is.

    Args:
        url: the database.
        error: the error of the driver.
    """
    code = getattr(error, "sqlite_errorcode", None)
    file = file_of(url)
    if code is None or file is None:
        return None
    # The lowest byte is the kind of the error: https://www.sqlite.org/rescode.html
    trouble = {
        sqlite3.SQLITE_FULL: FileTrouble.DISK_FULL,
        sqlite3.SQLITE_READONLY: FileTrouble.READ_ONLY,
    }.get(code & 0xFF)
    if code & 0xFF == sqlite3.SQLITE_CANTOPEN:
        if is_hidden(file):
            trouble = FileTrouble.UNREADABLE
        elif file.exists() and not may_write(file):
            trouble = FileTrouble.READ_ONLY
    return None if trouble is None else FileProblem(trouble, file)


def not_writable(url: URL) -> FileProblem | None:
    """The problem of a file that this process may not write; None if it may."""
    file = file_of(url)
    if file is None or not file.exists() or may_write(file):
        return None
    return FileProblem(FileTrouble.READ_ONLY, file)


def _connect(
    dialect: Dialect, record: object, arguments: list[Any], keywords: dict[str, Any]
) -> sqlite3.Connection:
    file = Path(arguments[0])
    connection: sqlite3.Connection
    if file.exists() and not may_write(file):
        connection = sqlite3.connect(read_only_uri(file), uri=True, **keywords)
    else:
        connection = sqlite3.connect(*arguments, **keywords)
        mode = journal_mode(sqlite3.sqlite_version_info)
        connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def file_of(url: URL) -> Path | None:
    """The file of a database; None for one in memory."""
    return Path(url.database) if url.database and url.database != ":memory:" else None


def _begin(connection: Connection) -> None:
    # The driver would send a plain BEGIN, and only before the first write. Two transactions that
    # have read and then both want to write would fail; with BEGIN IMMEDIATE the second one waits.
    only_reads = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")
