"""The clock of the database server, in UTC.

Every time that is stored or compared comes from this clock, because the hosts' clocks may differ.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

# The format in which SQLAlchemy stores a DateTime on SQLite, with six decimals. SQLite compares
# times as text, so the times that it makes itself need the same format.
_SQLITE_FORMAT = "'%Y-%m-%d %H:%M:%f000'"


class UtcDateTime(TypeDecorator[datetime]):
    """A time with a time zone, which is always UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # SQLite returns times without a time zone.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The time now. On PostgreSQL: the time when the transaction began."""

    type = UtcDateTime()
    inherit_cache = True


class later(FunctionElement[datetime]):  # noqa: N801
    """`later(time, seconds)`: the time that many seconds after `time`."""

    type = UtcDateTime()
    inherit_cache = True


class seconds_between(FunctionElement[float]):  # noqa: N801
    """`seconds_between(start, end)`: the seconds from `start` to `end`."""

    type = Float()
    inherit_cache = True


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime({_SQLITE_FORMAT}, 'now')"


@compiles(later, "postgresql")
def _later_postgresql(element: later, compiler: SQLCompiler, **kw: Any) -> str:
    time, seconds = _arguments(element, compiler, kw)
    return f"({time} + {seconds} * interval '1 second')"


@compiles(later, "sqlite")
def _later_sqlite(element: later, compiler: SQLCompiler, **kw: Any) -> str:
    time, seconds = _arguments(element, compiler, kw)
    return f"strftime({_SQLITE_FORMAT}, {time}, {seconds} || ' seconds')"


@compiles(seconds_between, "postgresql")
def _between_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = _arguments(element, compiler, kw)
    return f"CAST(EXTRACT(EPOCH FROM ({end} - {start})) AS DOUBLE PRECISION)"


@compiles(seconds_between, "sqlite")
def _between_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = _arguments(element, compiler, kw)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"


def _arguments(
    element: FunctionElement[Any], compiler: SQLCompiler, kw: dict[str, Any]
) -> tuple[str, str]:
    first, second = element.clauses
    return compiler.process(first, **kw), compiler.process(second, **kw)
