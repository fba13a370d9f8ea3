"""Format numbers and times for people."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fornada.db.states import QUOTE

if TYPE_CHECKING:
    from fornada.db.answers import FailureAnswer


def duration(seconds: float | None) -> str | None:
    """A span of time as `9.4 s`, `3:07` (minutes and seconds) or `2:03:07` (with hours)."""
    if seconds is None:
        return None
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | str | None) -> str | None:
    """A number with four significant digits.

    NaN and infinity are recorded as strings, and are returned as they are.
    """
    if value is None or isinstance(value, str):
        return value
    return f"{value:.4g}"


def count(value: float) -> str:
    """A whole number with thousands separators: `60,000`."""
    return f"{round(value):,}"


def size(value: int) -> str:
    """A number of bytes in a readable unit: `1.5 MiB`."""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


# How many characters of a failure a list shows. The log and the document have the whole text.
BRIEF = 120


def brief(text: str) -> str:
    """The first line of a failure, without the log lines that it quotes, cut if it is long."""
    line = one_line(text)
    return line if len(line) <= BRIEF else line[: BRIEF - 1].rstrip() + "…"


def one_line(text: str) -> str:
    """The first line of a failure, or the first two; without the log lines that it quotes."""
    lines = [line.strip() for line in text.strip().partition(QUOTE)[0].splitlines()]
    # A line that ends with a colon says what is wrong, and the next line where.
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def failed(failure: "FailureAnswer | None", longest: int | None) -> str | None:
    """Why a job failed, in one line: its code, and the beginning of the message.

    Args:
        failure: None if the job has not failed.
        longest: most characters; None for the whole line.
    """
    if failure is None:
        return None
    message = one_line(failure["message"] or "")
    text = f"{failure['code']}: {message}" if message else failure["code"]
    return text if longest is None or len(text) <= longest else text[: longest - 1].rstrip() + "…"


def jobs(ids: Iterable[object]) -> str:
    """`job 4`, or `jobs 4, 5`."""
    found = list(ids)
    return f"job{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _moment(stamp: str | None) -> datetime | None:
    """The datetime of an ISO-8601 timestamp."""
    return None if stamp is None else datetime.fromisoformat(stamp)


def local(stamp: str | None) -> str | None:
    """A recorded timestamp in this machine's time zone, to the second."""
    at = _moment(stamp)
    return None if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def minute(stamp: str) -> str:
    """A recorded timestamp in this machine's time zone, to the minute."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M")


def since(stamp: str | None, until: str | None = None) -> float | None:
    """Seconds from one timestamp to another, or to now."""
    begin, end = _moment(stamp), _moment(until) or datetime.now(UTC)
    return None if begin is None else max(0.0, (end - begin).total_seconds())
