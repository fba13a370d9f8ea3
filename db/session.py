"""Connections and transactions: one transaction a call, errors translated, no call without an end.

SQLite is for one host: writers wait in line (`BEGIN IMMEDIATE`), a commit is on disk
(`synchronous=FULL`). PostgreSQL is for many.
"""

import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import DatabaseUnreachable

# A server that has not answered a connection by then hangs.
CONNECT_TIMEOUT_S = 5
# Nor a statement: the longest of ours takes well under a second on a million jobs.
ANSWER_TIMEOUT_S = 15.0
# How long a writer of SQLite waits in line; its turns take milliseconds.
BUSY_TIMEOUT_S = 15.0
# A client that stops in mid-transaction keeps its job's row locked, and so its lease alive.
IDLE_IN_TRANSACTION_S = 10
LOCK_TIMEOUT_S = 10
# Execution option of a transaction that only reads.
_READS = "fornada_reads"

T = TypeVar("T")


class Database:
    """A database that this process talks to, from any of its threads.

    Args:
        url: SQLAlchemy's, `sqlite:////absolute/path.db` or
            `postgresql://user:password@host/name`. Nothing is connected yet.
    Raises:
        DatabaseUnreachable: it is no such URL.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        # As it may be shown: without passwords.
        self.where = _shown(parsed)
        self.dialect = parsed.get_backend_name()
        self._secrets = _secrets(parsed)
        self._engine = _sqlite(parsed) if self.dialect == "sqlite" else _postgresql(parsed)

    def __repr__(self) -> str:
        return f"Database({self.where!r})"

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back when an error leaves it.

        Raises:
            DatabaseUnreachable: it does not answer; of a commit, it may have been done.
        """
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database, in all its statements.

        Raises:
            DatabaseUnreachable: it does not answer.
        """
        with self._translated(), self._engine.connect() as connection:
            yield connection.execution_options(**_reading(self.dialect))

    def dispose(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise DatabaseUnreachable(self.where, self._reason(error)) from error
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            raise DatabaseUnreachable(self.where, self._reason(error)) from error

    def _reason(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = " ".join(str(cause).split())
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return reason


def prepare(database: Database, *, upgrade: bool) -> None:
    """See that the schema is the one this code needs.

    Args:
        upgrade: bring it there; for the embedded database, which is this user's own.
    Raises:
        SchemaMismatch: it is another, and `upgrade` is false or cannot help.
        DatabaseUnreachable: it does not answer.
    """
    from db import migrations

    if migrations.current(database) == migrations.HEAD:
        return
    if upgrade:
        migrations.upgrade(database)
    else:
        raise migrations.mismatch(migrations.current(database))


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


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text may hold a password, and the error may hold the text.
        raise DatabaseUnreachable("of FORNADA_DATABASE_URL", "it is not a URL") from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise DatabaseUnreachable(_shown(parsed), "only sqlite and postgresql are supported")
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _shown(url: URL) -> str:
    hidden = {key: "***" for key in url.query if "password" in key}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _secrets(url: URL) -> list[str]:
    query = [str(value) for key, value in url.query.items() if "password" in key]
    return [secret for secret in (url.password, *query) if secret]


def _reading(dialect: str) -> dict[str, Any]:
    if dialect == "sqlite":
        return {_READS: True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def _sqlite(url: URL) -> Engine:
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
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        # A server that was restarted leaves dead connections in the pool.
        pool_pre_ping=True,
        pool_timeout=CONNECT_TIMEOUT_S,
        connect_args=_postgresql_arguments(url),
    )
    event.listen(engine, "do_connect", _connect)
    return engine


def _postgresql_arguments(url: URL) -> dict[str, Any]:
    limits = {
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    }
    defaults = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "fornada",
        "options": " ".join(f"-c {key}={value}" for key, value in limits.items()),
    }
    return {key: value for key, value in defaults.items() if key not in url.query}


def _connect(
    dialect: Dialect, record: object, arguments: list[Any], keywords: dict[str, Any]
) -> psycopg.Connection[Any]:
    return _ImpatientConnection.connect(*arguments, **keywords)


class _ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server that is there but does not answer.

    Nothing else does: a stopped process still holds its socket open.
    """

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        try:
            return super().wait(_deadline(gen, ANSWER_TIMEOUT_S), *args, **kwargs)
        except TimeoutError as error:
            # What it would still say belongs to nobody.
            self.pgconn.finish()
            raise psycopg.OperationalError(str(error)) from error


def _deadline(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """The same generator, until it is late. It is asked at least every 0.1 s."""
    end = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if time.monotonic() > end:
                raise TimeoutError(f"no answer within {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result
