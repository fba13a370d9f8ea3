"""Ends sessions of clients whose transactions hold up workers; PostgreSQL with our roles only."""

from dataclasses import dataclass

from sqlalchemy import text

from fornada.db import printable
from fornada.db.store.session import Database

# A function of deploy/postgres/roles.sql, which says whose sessions it ends and which. It does not
# exist where one user owns the database.
_MAY_END = text(
    "SELECT has_function_privilege("
    "to_regprocedure('public.fornada_end_long_transactions(double precision)'), 'EXECUTE')"
)
_END = text("SELECT pid, login, open_s FROM public.fornada_end_long_transactions(:longest_s)")


@dataclass(frozen=True)
class EndedSession:
    """A session that was ended."""

    login: str
    # Process id on the database's host, as in the server's log.
    pid: int
    # How long its transaction had been open, in seconds.
    open_s: float


def end_long_transactions(database: Database, longest_s: float) -> list[EndedSession]:
    """End the sessions of clients that keep a transaction with locks open, or an idle one.

    Args:
        database: where to look.
        longest_s: a transaction may be open for so many seconds.
    Returns:
        The sessions that were ended; always empty where the function does not exist.
    """
    if database.dialect != "postgresql":
        return []
    with database.begin() as connection:
        if not connection.scalar(_MAY_END):
            return []
        rows = connection.execute(_END, {"longest_s": longest_s}).all()
        return [EndedSession(printable.line(row.login), row.pid, row.open_s) for row in rows]
