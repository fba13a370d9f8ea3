"""How times are written in documents. Loads nothing of SQLAlchemy, so that help stays quick."""

from datetime import UTC, datetime
from typing import overload


@overload
def iso(time: datetime) -> str: ...
@overload
def iso(time: datetime | None) -> str | None: ...
def iso(time: datetime | None) -> str | None:
    """A time as text for people and JSON: ISO-8601 in UTC, with milliseconds and a Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
