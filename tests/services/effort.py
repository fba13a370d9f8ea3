"""Counts what a database reads for a call: a measure that no other load of the machine changes."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event

from fornada.db.store.session import Database

# All blocks of the tables and their indexes that this connection has asked for.
BLOCKS = """
    SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM pg_class
    WHERE relname LIKE 'job%%' OR relname LIKE 'dependency%%'
"""
# SQLite tells of its steps in such portions.
STEPS = 50


class Effort:
    """What a database's transactions read: blocks, or steps of SQLite's machine."""

    def __init__(self, database: Database) -> None:
        self._read = 0
        if database.dialect == "sqlite":
            # Connections of before know nothing of it.
            database.dispose()
            event.listen(database._engine, "connect", self._listen)
        else:
            # The server's count is of all that it has not yet reported.
            event.listen(database._engine, "begin", lambda it: self._add(-self._blocks(it)))
            for end in ("commit", "rollback"):
                event.listen(database._engine, end, lambda it: self._add(self._blocks(it)))

    def of(self, call: Callable[[], Any]) -> int:
        """How much a call reads; the more of two."""
        return max(self._once(call), self._once(call))

    def _once(self, call: Callable[[], Any]) -> int:
        self._read = 0
        call()
        return self._read

    def _listen(self, connection: Any, _: object) -> None:
        connection.set_progress_handler(self._step, STEPS)

    def _step(self) -> int:
        self._add(STEPS)
        return 0

    def _add(self, more: int) -> None:
        self._read += more

    def _blocks(self, connection: Connection) -> int:
        return int(connection.exec_driver_sql(BLOCKS).scalar_one() or 0)
