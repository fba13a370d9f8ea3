"""Waits for a lock only for a short time, and says that the lock is held."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

# What PostgreSQL says when a lock was not free in time.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_NOT_AVAILABLE = "55P03"
_LIMIT = text("SELECT set_config('lock_timeout', :limit, true)")


def limit_wait(connection: Connection, seconds: float) -> None:
    """Let the statements of this transaction or savepoint wait at most so long for each lock.

    On SQLite nothing changes: it has one lock for the whole file.

    Args:
        connection: in a transaction.
        seconds: the longest wait for one lock; 0 or less means the shortest that there is.
    """
    if connection.dialect.name == "postgresql":
        # 0 would mean for ever.
        milliseconds = max(1, round(seconds * 1000))
        connection.execute(_LIMIT, {"limit": f"{milliseconds}ms"})


class LockHeld(Exception):
    """Another transaction has held the lock all the time."""


@contextmanager
def lock_within(connection: Connection, seconds: float) -> Iterator[None]:
    """Let the block's statements wait at most so long for each lock.

    The limit stays until the end of the transaction or savepoint, see `limit_wait`.

    Args:
        connection: in a savepoint, to which the caller rolls back after `LockHeld`.
        seconds: the longest wait for one lock.
    Raises:
        LockHeld: a lock was not free in time.
    """
    limit_wait(connection, seconds)
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_AVAILABLE:
            raise
        raise LockHeld from error
