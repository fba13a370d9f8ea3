"""Why a job waits, as `fornada ps` says it in a word and everything else in a sentence."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from fornada.cli.formatting import duration, jobs
from fornada.db.states import Unfit


def word(waits: str | None) -> str | None:
    """The record's word, with a time in this machine's zone: `NotBefore(22:00)`."""
    if waits is None:
        return None
    kind, what = _parts(waits)
    return f"{kind}({clock(what)})" if kind == "NotBefore" else waits


def sentence(waits: str | None, starts_in_s: float | None = None) -> str | None:
    """What the word means, for somebody who looks at one job.

    Args:
        waits: the record's word; None when the job does not wait, or is about to start.
        starts_in_s: an estimate, where the history allows one.
    """
    if waits is None:
        return None
    kind, what = _parts(waits)
    said = WHY[kind](what) if kind in WHY else waits
    about = about_when(starts_in_s)
    return f"{said}; starts in {about}" if about else said


def about_when(starts_in_s: float | None) -> str | None:
    """An estimate of seconds, with the sign of one."""
    return None if starts_in_s is None else f"~{duration(starts_in_s)}"


def dated(at: datetime) -> str:
    """A moment in this machine's zone with its day, said also by name where it has one."""
    at = at.astimezone()
    today = datetime.now().astimezone().date()
    names = {today: " (today)", today + timedelta(days=1): " (tomorrow)"}
    seconds = ":%S" if at.second else ""
    return at.strftime(f"%Y-%m-%d %H:%M{seconds}") + names.get(at.date(), "")


def clock(stamp: str | datetime) -> str:
    """A moment in this machine's zone: its time, and its day where that is not today."""
    try:
        at = datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp
    except ValueError:
        return str(stamp)
    at = at.astimezone()
    seconds = ":%S" if at.second else ""
    day = "" if at.date() == datetime.now().astimezone().date() else "%Y-%m-%d "
    return at.strftime(f"{day}%H:%M{seconds}")


def _parts(waits: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\w+)(?:\((.*)\))?", waits)
    return (found[1], found[2] or "") if found else (waits, "")


def _ahead(what: str) -> str:
    count = what.removesuffix(" ahead")
    jobs = "job goes" if count == "1" else "jobs go"
    return f"{count} {jobs} first, by priority or age"


# By the record's word, what it says of the word's argument.
WHY: dict[str, Callable[[str], str]] = {
    Unfit.NO_WORKER: lambda what: "no worker serves its queue yet",
    Unfit.NEEDS_GPU: lambda what: "no worker of its queue has a GPU",
    "SlotsBusy": lambda what: "next, when a slot is free",
    "Priority": _ahead,
    "After": lambda what: f"for the end of {jobs(what.replace('#', '').split(','))}",
    "NotBefore": lambda what: f"its time, {clock(what)}, has not come",
    "Held": lambda what: f"held {what}; let it go: fornada release",
    "QueuePaused": lambda what: "its queue is paused; open it: fornada queue resume",
    "QueueFull": lambda what: f"its queue runs no more at a time ({what})",
    "Backoff": lambda what: f"a pause after an attempt that ended badly ({what})",
    "HostAvoided": lambda what: "for a slot on another host than its last attempt ended badly on",
}
