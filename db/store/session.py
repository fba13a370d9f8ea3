"""Transactions: one a call, errors translated, no call without an end."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fornada.db.errors import DatabaseUnreachable, NotPermitted
from fornada.db.store import interrupts, sqlite

# A server that thinks longer about a statement hangs: the longest of ours takes well under a
# second on a million jobs.
ANSWER_TIMEOUT_S = 15.0
# https://www.postgresql.org/docs/current/errcodes-appendix.html
INSUFFICIENT_PRIVILEGE = "42501"


class Database:
    """A database that this process talks to, from any of its threads.

    Args:
        url: SQLAlchemy's, `sqlite:////absolute/path.db` or
            `postgresql://user:password@host/name`. Nothing is connected yet.
        answer_timeout_s: how long a server may think about one statement.
    Raises:
        DatabaseUnreachable: it is no such URL.
    """

    def __init__(self, url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        parsed = _parse(url)
        # As it may be shown: without passwords.
        self.where = _shown(parsed)
        self.dialect = parsed.get_backend_name()
        self._secrets = _secrets(parsed)
        if self.dialect == "sqlite":
            self._engine = sqlite.connected(parsed)
        else:
            from fornada.db.store import postgresql

            self._engine = postgresql.connected(parsed, answer_timeout_s)

    def __repr__(self) -> str:
        return f"Database({self.where!r})"

    @contextmanager
    def begin(self, *, patient: bool = False) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back when an error leaves it.

        Args:
            patient: wait for locks and answers as long as they take; for changes of schema.
        Raises:
            DatabaseUnreachable: it does not answer; a commit that is `in_doubt` may be done.
        """
        commits = False
        try:
            with self._late(), self._translated(), self._engine.begin() as connection:
                if patient and self.dialect == "postgresql":
                    from fornada.db.store import postgresql

                    with postgresql.patient(connection):
                        yield connection
                else:
                    yield connection
                commits = True
        except DatabaseUnreachable as error:
            error.in_doubt = commits
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database, in all its statements.

        Raises:
            DatabaseUnreachable: it does not answer.
        """
        with self._late(), self._translated(), self._engine.connect() as connection:
            yield connection.execution_options(**_reading(self.dialect))

    def dispose(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _late(self) -> AbstractContextManager[None]:
        # A server is no file that one process can keep from all others, and may hang for long.
        return interrupts.late() if self.dialect == "sqlite" else nullcontext()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise DatabaseUnreachable(self.where, self._reason(error)) from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE:
                raise NotPermitted(self.where, self._reason(error)) from error
            # Of no kind at all: a file that is no database, a server that talks nonsense.
            if not error.connection_invalidated and type(error) is not DatabaseError:
                raise
            raise DatabaseUnreachable(self.where, self._reason(error)) from error

    def _reason(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = " ".join(str(cause).split())
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return reason


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
        return {sqlite.READS: True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
