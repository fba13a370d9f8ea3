"""Locks of tables for a change of the schema: take them in a bounded time, and find who has them.

PostgreSQL lets nobody overtake a statement that waits for a lock of a table. So a change of the
schema waits a short time only, and tries again later, or all statements would queue up behind it.
"""

import time
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from fornada.db.accounts import owner_of
from fornada.db.records import LockHolder
from fornada.db.sqlite_files import processes_that_lock
from fornada.db.store.locks import limit_wait
from fornada.db.store.session import Database

# Key of the PostgreSQL advisory lock that an upgrade holds, so that upgrades of one database take
# turns. Any number would do.
_ADVISORY_LOCK = 0x466F726E616461


class LockedOut(IntEnum):
    """The statements that wait while a table is locked."""

    WRITES = 1
    ALL = 2


_MODES = {LockedOut.WRITES: "SHARE ROW EXCLUSIVE", LockedOut.ALL: "ACCESS EXCLUSIVE"}


def take_turns(connection: Connection) -> None:
    """Wait on PostgreSQL until no other process changes the schema.

    No statement of a worker or client waits behind this.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))


def lock(connection: Connection, locks: Mapping[str, LockedOut], wait_s: float) -> None:
    """Lock tables on PostgreSQL until the end of the transaction.

    SQLite has locked the file when the transaction began.

    Args:
        connection: in a transaction.
        locks: the tables, those that do not exist yet too.
        wait_s: seconds to wait for all of them together.
    Raises:
        sqlalchemy.exc.OperationalError: somebody else has one.
    """
    if connection.dialect.name != "postgresql":
        return
    end = time.monotonic() + wait_s
    there = set(inspect(connection).get_table_names())
    # In the order of our own transactions, which change a job first: two transactions that lock in
    # different orders may wait for each other.
    for table in sorted(locks.keys() & there, key=lambda name: (name != "job", name)):
        limit_wait(connection, end - time.monotonic())
        connection.execute(text(f"LOCK TABLE {table} IN {_MODES[locks[table]]} MODE"))
    # A statement of a revision may lock something that it does not name.
    limit_wait(connection, wait_s)


def holders(database: Database, locks: Mapping[str, LockedOut]) -> tuple[LockHolder, ...]:
    """Who else holds locks now for which a change of the schema has to wait.

    Args:
        database: what is to change.
        locks: the tables that the change locks.
    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    if database.file is not None:
        return tuple(map(_process, processes_that_lock(database.file)))
    with database.read() as connection:
        rows = connection.execute(
            _HOLDERS,
            {
                "all": [table for table, waits in locks.items() if waits is LockedOut.ALL],
                "writes": [table for table, waits in locks.items() if waits is LockedOut.WRITES],
            },
        ).all()
    return tuple(
        LockHolder(row.pid, row.usename, row.application, row.xact_start, tuple(row.tables))
        for row in rows
    )


# The longest transaction first. Statements that read take AccessShareLock, or RowShareLock with
# FOR UPDATE, and those two stop no change that makes only writers wait.
_HOLDERS = text("""
SELECT held.pid, usename, xact_start,
    coalesce(nullif(application_name, ''), backend_type) AS application,
    array_agg(DISTINCT relname::text ORDER BY relname::text) AS tables
FROM pg_locks AS held
JOIN pg_class ON pg_class.oid = held.relation
LEFT JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE held.locktype = 'relation' AND held.granted
    AND held.pid IS DISTINCT FROM pg_backend_pid()
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relnamespace = current_schema()::regnamespace
    AND (
        relname = ANY(:all)
        OR (relname = ANY(:writes) AND mode NOT IN ('AccessShareLock', 'RowShareLock'))
    )
GROUP BY held.pid, usename, xact_start, application_name, backend_type
ORDER BY xact_start, pid
""")


def _process(pid: int) -> LockHolder:
    process = Path(f"/proc/{pid}")
    try:
        program = (process / "comm").read_text().strip()
    except OSError:
        # It has just ended.
        program = None
    return LockHolder(pid, owner_of(process) if program else None, program, None)
