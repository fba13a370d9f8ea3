"""Numbers and times as people read them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from fornada.db.states import QUOTE


def duration(seconds: float | None) -> str | None:
    """`9.4 s`, `3:07`, `2:03:07`: short spans with tenths, long ones as clocks."""
    if seconds is None:
        return None
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | str | None) -> str | None:
    """Four significant digits; what is not finite is recorded as a word already."""
    if value is None or isinstance(value, str):
        return value
    return f"{value:.4g}"


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{round(value):,}"


def size(value: int) -> str:
    """Bytes in the unit that reads well."""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


# Characters of a failure that are shown in a list; the whole is in the log and in the document.
BRIEF = 120


def brief(text: str) -> str:
    """The first line of a failure without the log that it quotes, cut where it is long."""
    line = next(iter(text.strip().splitlines()), "").partition(QUOTE)[0]
    return line if len(line) <= BRIEF else line[: BRIEF - 1].rstrip() + "…"


def jobs(ids: Iterable[object]) -> str:
    """`job 4`, or `jobs 4, 5`."""
    found = list(ids)
    return f"job{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _moment(stamp: str | None) -> datetime | None:
    """The time of an ISO-8601 stamp."""
    return None if stamp is None else datetime.fromisoformat(stamp)


def local(stamp: str | None) -> str | None:
    """A stamp of the record in this machine's time zone, to the second."""
    at = _moment(stamp)
    return None if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def minute(stamp: str) -> str:
    """A stamp of the record in this machine's time zone, to the minute."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M")


def since(stamp: str | None, until: str | None = None) -> float | None:
    """Seconds from a stamp to another, or to now."""
    begin, end = _moment(stamp), _moment(until) or datetime.now(UTC)
    return None if begin is None else max(0.0, (end - begin).total_seconds())
