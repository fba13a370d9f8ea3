"""INSERT … ON CONFLICT for both databases.

SQLite and PostgreSQL have the same syntax for it, but SQLAlchemy has one function for each. Only
the dialect of the database in use is imported; to import the other one takes 40 ms.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table

from fornada.db.clock import now

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

    Insert = PostgresqlInsert | SqliteInsert


def insert_for(dialect: str, table: Table[Any]) -> "Insert":
    """Create an INSERT that has `on_conflict_…` methods.

    Args:
        dialect: `connection.dialect.name`.
        table: where to insert.
    """
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def upsert(
    connection: Connection,
    table: Table[Any],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Iterable[str],
) -> None:
    """Insert rows; where a row with the same key exists, overwrite its values.

    Args:
        connection: where to write.
        table: where to insert.
        rows: column values; every row has the same columns.
        key: the columns of the primary key.
    """
    if not rows:
        return
    statement = _upsert(connection.dialect.name, table, tuple(rows[0]), tuple(key))
    # One statement for each row: SQLAlchemy compiles that statement only once. It would compile a
    # statement with many rows again on each call.
    values = [dict(row) for row in rows]
    connection.execute(statement, values if len(values) > 1 else values[0])


def insert_new(
    connection: Connection, table: Table[Any], row: Mapping[str, Any], *, at: str
) -> None:
    """Insert a row, unless a row with its key exists.

    Args:
        connection: where to write.
        table: where to insert.
        row: column values.
        at: the column that receives the time now.
    """
    connection.execute(_insert_new(connection.dialect.name, table, at), dict(row))


@cache
def _upsert(
    dialect: str, table: Table[Any], columns: tuple[str, ...], key: tuple[str, ...]
) -> "Insert":
    statement = insert_for(dialect, table)
    values = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=values)


@cache
def _insert_new(dialect: str, table: Table[Any], at: str) -> "Insert":
    return insert_for(dialect, table).values({at: now()}).on_conflict_do_nothing()
