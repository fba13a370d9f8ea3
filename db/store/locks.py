"""Waits for a lock only for a short time, and says that the lock is held."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

# What PostgreSQL says when a lock was not free in time.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_NOT_AVAILABLE = "55P03"
_LIMIT = text("SELECT set_config('lock_timeout', :limit, true)")


class LockHeld(Exception):
    """Another transaction has held the lock all the time."""


@contextmanager
def lock_within(connection: Connection, seconds: float) -> Iterator[None]:
    """Let the block's statements wait at most so long for each lock.

    The limit stays until the end of the transaction or savepoint. On SQLite nothing changes: it has
    one lock for the whole file.

    Args:
        connection: in a savepoint, to which the caller rolls back after `LockHeld`.
        seconds: the longest wait for one lock.
    Raises:
        LockHeld: a lock was not free in time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LIMIT, {"limit": f"{seconds * 1000:.0f}ms"})
    try:
        yield
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_AVAILABLE:
            raise
        raise LockHeld from error
