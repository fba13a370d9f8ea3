"""How PostgreSQL is connected to: many hosts; no call waits without an end.

Loaded only where there is one: the driver takes longer to import than a query on SQLite.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event

# A server that has not answered a connection by then hangs.
CONNECT_TIMEOUT_S = 5
# A client that stops in mid-transaction keeps its job's row locked, and so its lease alive.
IDLE_IN_TRANSACTION_S = 10
LOCK_TIMEOUT_S = 10
# Connections of a process, made as they are needed and kept: to make one takes longer than a short
# job's statements.
MOST_CONNECTIONS = 15

T = TypeVar("T")


def connected(url: URL, answer_timeout_s: float) -> Engine:
    """An engine for a server; `answer_timeout_s` is how long it may think about a statement."""
    engine = create_engine(
        url,
        hide_parameters=True,
        # A server that was restarted leaves dead connections in the pool.
        pool_pre_ping=True,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        # The same ones again, as long as they are enough.
        pool_use_lifo=True,
        connect_args=_postgresql_arguments(url),
    )

    def connect(
        dialect: Dialect, record: object, arguments: list[Any], keywords: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        connection = _ImpatientConnection.connect(*arguments, **keywords)
        connection.answer_timeout_s = answer_timeout_s
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


@contextmanager
def patient(connection: Connection) -> Iterator[None]:
    """For this transaction, wait for locks and answers as long as they take."""
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, _ImpatientConnection):
        raise TypeError(f"{driver!r} is not a connection of ours")
    usual = driver.answer_timeout_s
    driver.answer_timeout_s = math.inf
    try:
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        yield
    finally:
        driver.answer_timeout_s = usual


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


class _ImpatientConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server that is there but does not answer.

    Nothing else does: a stopped process still holds its socket open.
    """

    answer_timeout_s = math.inf

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        try:
            return super().wait(_deadline(gen, self.answer_timeout_s), *args, **kwargs)
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
            # Ready is 0: nothing came. What came late, after a pause of our own, still counts.
            if not ready and time.monotonic() > end:
                raise TimeoutError(f"no answer within {seconds:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result
