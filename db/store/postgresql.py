"""Connections to PostgreSQL, for workers on many hosts. Every call has a time limit.

Imported only when the database is PostgreSQL, because importing the driver takes longer than a
query on SQLite.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    ExceptionContext,
    create_engine,
    event,
)

from fornada.db.json_values import read_json

# Seconds to wait for a new connection. A server that takes longer counts as unreachable.
CONNECT_TIMEOUT_S = 5
# Seconds that a transaction may send no statement before the server ends it. A client that stops in
# the middle of a transaction keeps its job's row locked, and upkeep cannot end a locked attempt.
IDLE_IN_TRANSACTION_S = 10
# Seconds that a statement may wait for a lock.
LOCK_TIMEOUT_S = 10
# Connections that one process may open. The pool opens them when they are needed and keeps them,
# because to open one takes longer than all statements of a short job.
MAX_CONNECTIONS = 15

# What a server says that takes no writes now: a standby, or a primary that recovers.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_IN_RECOVERY = frozenset({"25006", "0A000"})

T = TypeVar("T")


def connected(url: URL, answer_timeout_s: float) -> Engine:
    """Create the engine for a server.

    Args:
        url: the database.
        answer_timeout_s: seconds that the server may take to answer one statement.
    """
    engine = create_engine(
        url,
        hide_parameters=True,
        json_deserializer=read_json,
        # A server that restarts leaves dead connections in the pool.
        pool_pre_ping=True,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_size=MAX_CONNECTIONS,
        max_overflow=0,
        # Reuse the connection that was used last, so that the pool opens as few as it can.
        pool_use_lifo=True,
        connect_args=_connect_arguments(url),
    )

    def connect(
        dialect: Dialect, record: object, arguments: list[Any], keywords: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        connection = _TimedConnection.connect(*arguments, **keywords)
        connection.answer_timeout_s = answer_timeout_s
        return connection

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "handle_error", _leave_a_standby)
    return engine


def _leave_a_standby(context: ExceptionContext) -> None:
    """Take a server that refuses writes for one that is away, and close the connections to it.

    After a failover, the pool may hold connections to the server that was the primary. The next
    connection looks for the primary again.
    """
    refused = getattr(context.original_exception, "sqlstate", None) in _IN_RECOVERY
    connection = context.connection
    # A transaction of ours that only reads may not write on a primary either: that is a fault.
    reads = connection and connection.get_execution_options().get("postgresql_readonly")
    if refused and not reads:
        context.is_disconnect = True


@contextmanager
def waiting_at_most(connection: Connection, seconds: float) -> Iterator[None]:
    """Let the next transaction wait so long for a lock, and without a limit for answers."""
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, _TimedConnection):
        raise TypeError(f"{driver!r} is not a {_TimedConnection.__name__}")
    usual = driver.answer_timeout_s
    driver.answer_timeout_s = math.inf
    try:
        # The driver begins a transaction here, and SQLAlchemy goes on in it.
        driver.execute(f"SET LOCAL lock_timeout = {max(1, round(seconds * 1000))}")
        yield
    finally:
        driver.answer_timeout_s = usual


def _connect_arguments(url: URL) -> dict[str, Any]:
    limits = {
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    }
    defaults = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "fornada",
        "options": " ".join(f"-c {key}={value}" for key, value in limits.items()),
    }
    if isinstance(url.query.get("host"), tuple):
        # Several hosts: one primary and its standbys, in any order.
        defaults["target_session_attrs"] = "read-write"
    return {key: value for key, value in defaults.items() if key not in url.query}


class _TimedConnection(psycopg.Connection[Any]):
    """A connection that raises when the server takes too long to answer.

    No other timeout covers this: a stopped server process still keeps its socket open.
    """

    answer_timeout_s = math.inf

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        try:
            return super().wait(_with_deadline(gen, self.answer_timeout_s), *args, **kwargs)
        except TimeoutError as error:
            # Close the connection, so that the next statement cannot read this one's late answer.
            self.pgconn.finish()
            raise psycopg.OperationalError(str(error)) from error


def _with_deadline(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Run psycopg's generator, but raise TimeoutError after so many seconds.

    psycopg resumes the generator at least every 0.1 s, also when the server sent nothing.
    """
    end = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            # `ready` is 0 when the server sent nothing. Accept an answer after the deadline: this
            # process itself may have been paused.
            if not ready and time.monotonic() > end:
                raise TimeoutError(f"no answer within {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result
