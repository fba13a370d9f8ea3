"""The database and its transactions, with a time limit and with errors of `fornada.db.errors`."""

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
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fornada.db.errors import DatabaseUnreachable, LockTimeout, NotPermitted
from fornada.db.file_problems import FileProblem
from fornada.db.store import interrupts, sqlite

# Seconds that a server may take to answer one statement. Our slowest statement takes well under a
# second with a million jobs, so a server that takes longer hangs.
ANSWER_TIMEOUT_S = 15.0
# https://www.postgresql.org/docs/current/errcodes-appendix.html
INSUFFICIENT_PRIVILEGE = "42501"
# lock_not_available, and deadlock_detected: two sessions waited for each other.
_LOCK_TIMEOUTS = frozenset({"55P03", "40P01"})
# Options of a URL that say where a database is.
_PLACE = frozenset({"host", "port", "dbname"})


class Database:
    """A database. All threads of the process may use one object.

    The constructor does not connect; the first transaction does.

    Args:
        url: an SQLAlchemy URL: `sqlite:////absolute/path.db` or
            `postgresql://user:password@host/name`.
        answer_timeout_s: seconds that a server may take to answer one statement.
    Raises:
        DatabaseUnreachable: `url` is not such a URL.
    """

    def __init__(self, url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        parsed = _parse(url)
        # The URL without passwords, safe to print.
        self.where = _shown(parsed)
        self.dialect = parsed.get_backend_name()
        # The file of an SQLite database; None for a server and for a database in memory.
        self.file = sqlite.file_of(parsed) if self.dialect == "sqlite" else None
        if self.dialect == "sqlite":
            self._engine = sqlite.connected(parsed)
        else:
            from fornada.db.store import postgresql

            self._engine = postgresql.connected(parsed, answer_timeout_s)

    def __repr__(self) -> str:
        return f"Database({self.where!r})"

    @contextmanager
    def begin(self, *, lock_wait_s: float | None = None) -> Iterator[Connection]:
        """Open a transaction that writes. It commits at the end of the block.

        An exception in the block rolls it back.

        Args:
            lock_wait_s: for changes of the schema: wait so many seconds for a lock, and without a
                limit for answers.
        Raises:
            LockTimeout: another session holds a lock.
            DatabaseUnreachable: the database does not answer. When its `in_doubt` is true, the
                commit may have happened all the same.
        """
        committing = False
        try:
            with (
                self._delayed_signals(),
                self._translated(),
                self._engine.connect() as connection,
                self._changes_schema(connection, lock_wait_s),
                connection.begin(),
            ):
                yield connection
                committing = True
        except DatabaseUnreachable as error:
            error.in_doubt = committing
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads. All its statements see the same data.

        Raises:
            DatabaseUnreachable: the database does not answer.
        """
        with self._delayed_signals(), self._translated(), self._engine.connect() as connection:
            yield connection.execution_options(**_read_options(self.dialect))

    def not_writable(self) -> FileProblem | None:
        """Why nothing can be written to the file of the database.

        None if it can be written, and for a database that is not a file here.
        """
        return sqlite.not_writable(self._engine.url) if self.dialect == "sqlite" else None

    def dispose(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _changes_schema(
        self, connection: Connection, lock_wait_s: float | None
    ) -> AbstractContextManager[None]:
        if lock_wait_s is None:
            return nullcontext()
        if self.dialect == "sqlite":
            return sqlite.waiting_at_most(connection, lock_wait_s)
        from fornada.db.store import postgresql

        return postgresql.waiting_at_most(connection, lock_wait_s)

    def _delayed_signals(self) -> AbstractContextManager[None]:
        # PostgreSQL needs no delay, because an open transaction there does not stop all writers.
        # A delay would do harm: a server may hang for long, and Ctrl-C should end the wait at once.
        return interrupts.delayed_signals() if self.dialect == "sqlite" else nullcontext()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            kind = LockTimeout if _waited_for_a_lock(error) else DatabaseUnreachable
            raise kind(self.where, _reason(error), self._file(error)) from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE:
                raise NotPermitted(self.where, _reason(error)) from error
            # Drivers raise DatabaseError itself, and no subclass, for a file that is not a database
            # and for a server that sends nonsense.
            unusual = type(error) is DatabaseError or _refuses_option(error)
            if not error.connection_invalidated and not unusual:
                raise
            raise DatabaseUnreachable(self.where, _reason(error)) from error

    def _file(self, error: Exception) -> FileProblem | None:
        if self.dialect != "sqlite" or not isinstance(error, DBAPIError):
            return None
        return sqlite.file_problem(self._engine.url, error.orig)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The URL may contain a password, and the error's text may contain the URL.
        raise DatabaseUnreachable("of FORNADA_DATABASE_URL", "it is not a URL") from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        where = _shown(parsed)
        raise DatabaseUnreachable(where, "only sqlite and postgresql are supported")
    return parsed.set(drivername="sqlite" if backend == "sqlite" else "postgresql+psycopg")


def _shown(url: URL) -> str:
    """The URL without passwords. Of its options only those that say where the database is."""
    options = {key: value for key, value in url.query.items() if key in _PLACE}
    return url.set(query=options).render_as_string(hide_password=True)


def _refuses_option(error: DBAPIError) -> bool:
    """Whether the driver does not know an option of the URL. It says so before any statement."""
    return isinstance(error, ProgrammingError) and error.statement is None


def _waited_for_a_lock(error: Exception) -> bool:
    driver = error.orig if isinstance(error, DBAPIError) else None
    return getattr(driver, "sqlstate", None) in _LOCK_TIMEOUTS or sqlite.is_busy(driver)


def _reason(error: Exception) -> str:
    """What the driver says, in one line. No driver repeats a password."""
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())


def _read_options(dialect: str) -> dict[str, Any]:
    if dialect == "sqlite":
        return {sqlite.READ_ONLY: True}
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
