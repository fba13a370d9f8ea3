"""INSERT … ON CONFLICT, which SQLite and PostgreSQL spell alike and SQLAlchemy does not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from db.tables import Base


def insert_for(connection: Connection, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of the connection's dialect."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


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
    key = list(key)
    statement = insert_for(connection, table)
    values = {name: statement.excluded[name] for name in rows[0] if name not in key}
    # One statement a row, which SQLAlchemy compiles once; one of many rows it would each time.
    connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=values),
        [dict(row) for row in rows],
    )
