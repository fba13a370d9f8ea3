"""The database's clock, in UTC: the only one whose times are written or compared."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

# As SQLAlchemy writes a DateTime on SQLite, six decimals, so that times compare as text.
_SQLITE_FORMAT = "'%Y-%m-%d %H:%M:%f000'"


class UtcDateTime(TypeDecorator[datetime]):
    """A time with its zone, which is always UTC."""

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
        # SQLite gives back what was written, without a zone.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The time now; on PostgreSQL that of the transaction's begin."""

    type = UtcDateTime()
    inherit_cache = True


class later(FunctionElement[datetime]):  # noqa: N801
    """`later(time, seconds)`: so many seconds after a time."""

    type = UtcDateTime()
    inherit_cache = True


class seconds_between(FunctionElement[float]):  # noqa: N801
    """`seconds_between(start, end)`: how long from one time to another."""

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
