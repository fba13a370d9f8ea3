"""INSERT … ON CONFLICT, which SQLite and PostgreSQL spell alike and SQLAlchemy does not."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from fornada.db.clock import now
from fornada.db.store.tables import Base


def insert_for(dialect: str, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of a dialect, by the name that a connection gives it."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def upsert(
    connection: Connection,
    table: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Iterable[str],
) -> None:
    """Insert rows, or take their values for the rows that have their key already."""
    if not rows:
        return
    statement = _upsert(connection.dialect.name, table, tuple(rows[0]), tuple(key))
    # One statement a row, which SQLAlchemy compiles once; one of many rows it would each time.
    several = [dict(row) for row in rows]
    connection.execute(statement, several if len(several) > 1 else several[0])


def insert_new(
    connection: Connection, table: type[Base], row: Mapping[str, Any], *, at: str
) -> None:
    """Insert a row unless its key is there already.

    Args:
        at: the column for the time now.
    """
    connection.execute(_insert_new(connection.dialect.name, table, at), dict(row))


@cache
def _upsert(
    dialect: str, table: type[Base], columns: tuple[str, ...], key: tuple[str, ...]
) -> postgresql.Insert | sqlite.Insert:
    statement = insert_for(dialect, table)
    values = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=values)


@cache
def _insert_new(dialect: str, table: type[Base], at: str) -> postgresql.Insert | sqlite.Insert:
    return insert_for(dialect, table).values({at: now()}).on_conflict_do_nothing()
