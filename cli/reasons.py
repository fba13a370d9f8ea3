"""Why a job waits: as one word for `fornada ps`, as a sentence for all other commands."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fornada.cli.formatting import duration, jobs
from fornada.db.reasons import (
    After,
    Backoff,
    Held,
    HostAvoided,
    NeedsGpu,
    NotBefore,
    NoWorker,
    Priority,
    QueueFull,
    QueuePaused,
    Reason,
    SlotsBusy,
    WorkersUnfit,
)

if TYPE_CHECKING:
    from fornada.client import Progress


def word(reason: Reason | None) -> str | None:
    """The reason as the JSON document has it, but with its time in this machine's time zone.

    Example: `NotBefore(22:00)`.
    """
    return f"NotBefore({clock(reason.at)})" if isinstance(reason, NotBefore) else reason


def sentence(
    reason: Reason | None, starts_in_s: float | None = None, start_worker: str | None = None
) -> str | None:
    """Explain a reason to a person who looks at one job.

    Args:
        reason: why the job waits; None when it does not wait, or is about to start.
        starts_in_s: estimated seconds until the job starts; None without an estimate.
        start_worker: the command that starts a worker for the job; None if none would help.
    """
    if reason is None:
        return None
    about = about_when(starts_in_s)
    starts = f"starts in {about}" if about else None
    start = f"start one: {start_worker}" if start_worker else None
    return "; ".join(filter(None, [_meaning(reason), starts, start]))


def why_it_waits(progress: "Progress") -> str | None:
    """Why a job waits, and what to do about it, in a sentence; None if it does not wait."""
    return sentence(progress.waits, progress.starts_in_s, progress.start_worker)


def _meaning(reason: Reason) -> str:  # noqa: PLR0911 - one line for each reason
    match reason:
        case NoWorker():
            return "no worker serves its queue yet"
        case NeedsGpu():
            return "no worker of its queue has a GPU"
        case WorkersUnfit():
            return f"{', '.join(reason.workers)} could run it, but takes no jobs now: {reason.why}"
        case SlotsBusy():
            return "next, when a slot is free"
        case Priority():
            others = "job goes" if reason.ahead == 1 else "jobs go"
            return f"{reason.ahead} {others} first, by priority or age"
        case After():
            return f"for the end of {jobs(reason.jobs)}"
        case NotBefore():
            return f"its time, {clock(reason.at)}, has not come"
        case Held():
            return f"held by {reason.by}; release it: fornada release"
        case QueuePaused():
            return "its queue is paused; open it: fornada queue resume"
        case QueueFull():
            return f"its queue already runs as many jobs as it may (max {reason.limit})"
        case Backoff():
            pause = f"attempt {reason.attempt} in {reason.pause_s} s"
            return f"a pause after an attempt that did not succeed ({pause})"
        case HostAvoided():
            return (
                "for a slot on another host; its last attempt failed on the host with a free slot"
            )
    raise AssertionError(f"a reason without a sentence: {reason}")


def about_when(starts_in_s: float | None) -> str | None:
    """An estimated span of time, marked with `~`; None without an estimate."""
    return None if starts_in_s is None else f"~{duration(starts_in_s)}"


def dated(at: datetime) -> str:
    """A moment in this machine's time zone with its date, and with (today) or (tomorrow)."""
    at = at.astimezone()
    today = datetime.now().astimezone().date()
    names = {today: " (today)", today + timedelta(days=1): " (tomorrow)"}
    seconds = ":%S" if at.second else ""
    return at.strftime(f"%Y-%m-%d %H:%M{seconds}") + names.get(at.date(), "")


def clock(stamp: str | datetime) -> str:
    """A moment in this machine's time zone: its time, and also its date if that is not today."""
    try:
        at = datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp
    except ValueError:
        return str(stamp)
    at = at.astimezone()
    seconds = ":%S" if at.second else ""
    day = "" if at.date() == datetime.now().astimezone().date() else "%Y-%m-%d "
    return at.strftime(f"{day}%H:%M{seconds}")
