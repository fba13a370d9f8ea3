"""The history of a job, one line per event: when, what and why, and who did it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fornada.cli.formatting import brief, duration, jobs, local
from fornada.cli.output import Output
from fornada.cli.progress import began_at
from fornada.cli.reasons import clock
from fornada.db.printable import line

if TYPE_CHECKING:
    from fornada.db.answers import EventAnswer, ResumedAnswer

Detail = dict[str, Any]
# The keys of an event's detail that say why an attempt failed.
FAILURE = ("code", "message")


def timeline(
    events: Iterable["EventAnswer"], output: Output, *, known: Collection[str] = ()
) -> None:
    """Write events, oldest first.

    Args:
        events: the events of one job.
        output: how to write them.
        known: failure messages that were printed above; they are not repeated.
    """
    for event in events:
        detail = event["detail"] if isinstance(event["detail"], dict) else {}
        if detail.get("message") in known:
            detail = {key: value for key, value in detail.items() if key not in FAILURE}
        text = in_words(event["kind"], detail)
        output.line(f"{local(event['at'])}  {text}  (by {event['actor']})")


def in_words(kind: str, detail: Mapping[str, Any]) -> str:
    """An event in words. A fact without words of its own is appended as its name and value."""
    left = {key: value for key, value in detail.items() if value is not None}
    text = kind.replace("_", " ")
    # Whoever may write to the database may write an event whose facts are of another kind.
    with suppress(LookupError, TypeError, ValueError):
        text = WORDS[kind](left)
    rest = [f"{key.replace('_', ' ')} {_plain(value)}" for key, value in left.items()]
    return line("; ".join([text, *rest]))


# Each function below returns the words of one kind of event. It removes from `facts` what its words
# mention, so that `in_words` can append what is left.


def _submitted(facts: Detail) -> str:
    parts = ["submitted"]
    # The state adds nothing: the words below say why a job is held.
    facts.pop("state", None)
    if facts.pop("held", None):
        parts.append("held")
    if not_before := facts.pop("not_before", None):
        parts.append(f"not before {clock(not_before)}")
    if after := facts.pop("after", None):
        any_end = " (even if they fail)" if facts.pop("after_any", None) else ""
        parts.append(f"after {jobs(after)}{any_end}")
    if continues := facts.pop("continues", None):
        parts.append(f"continues job {continues}")
    if key := facts.pop("key", None):
        parts.append(f"key {key}")
    return ", ".join(parts)


def _claimed(facts: Detail) -> str:
    where = [facts.pop("host", None), facts.pop("slot", None)]
    on = ", ".join(word for word in where if word)
    facts.pop("worker", None)
    return f"attempt {facts.pop('attempt', '?')} claimed" + (f" on {on}" if on else "")


def _started(facts: Detail) -> str:
    text = f"attempt {facts.pop('attempt', '?')} has read its data and trains"
    if anew := facts.pop("anew", None):
        text += f" from the first epoch, because no training state fits: {anew}"
    return text


def _resumed(facts: Detail) -> str:
    inexact = facts.pop("inexact", None)
    resumed: ResumedAnswer = {
        "epoch": facts.pop("epoch", "?"),
        "batch": facts.pop("batch", 0),
        "inexact": inexact,
    }
    text = f"attempt {facts.pop('attempt', '?')} {began_at(resumed)}"
    return f"{text}; no longer exact: {inexact}" if inexact else text


def _ended(facts: Detail) -> str:
    """`attempt 2 crashed on oven-1: the trainer ended after epoch 7 without a verdict: …`."""
    outcome = _plain(facts.pop("outcome", "ended"))
    text = f"attempt {facts.pop('attempt')} {outcome}"
    host = facts.pop("host", None)
    text += f" on {host}" if host else ""
    why = [str(facts.pop(key)) for key in FAILURE if key in facts]
    # Leave out a code that repeats the outcome: CRASHED after `crashed`.
    return ": ".join([text, *(brief(reason) for reason in why if reason.lower() != outcome)])


def _requeued(facts: Detail) -> str:
    text = f"{_ended(facts)}; queued again"
    tries, most = facts.pop("tries", None), facts.pop("retry_attempts", None)
    text += f" for try {tries + 1} of {most}" if tries and most else ""
    pause = facts.pop("pause_s", None)
    text += f" in {duration(pause)}" if pause else ""
    if facts.pop("avoid_host", None):
        text += ", on another host if there is one"
    return text


def _released(facts: Detail) -> str:
    if after := facts.pop("after", None):
        return f"released: {jobs(after)} ended"
    if waits_for := facts.pop("waits_for", None):
        return f"released; waits for {jobs(waits_for)}"
    return "released"


def _held(facts: Detail) -> str:
    if waits_for := facts.pop("waits_for", None):
        return f"held: waits for {jobs(waits_for)}"
    return "held"


def _final(state: str) -> Callable[[Detail], str]:
    def words(facts: Detail) -> str:
        reason = facts.pop("reason", None)
        parts = [state if not reason else f"{state}: {reason}"]
        if "attempt" in facts:
            tries, most = facts.pop("tries", None), facts.pop("retry_attempts", None)
            last = f", after {tries} of {most} tries" if tries and most else ""
            parts.append(_ended(facts) + last)
        return "; ".join(parts)

    return words


def _cancel_requested(facts: Detail) -> str:
    reason, grace_s = facts.pop("reason", None), facts.pop("grace_s", None)
    text = "asked to stop"
    if grace_s is not None:
        text += f" within {duration(grace_s)}" if grace_s else " at once"
    return f"{text}: {reason}" if reason else text


def _retried(facts: Detail) -> str:
    text = "retried, from the first epoch" if facts.pop("fresh", False) else "retried"
    waived = facts.pop("waived", None)
    return f"{text}; no longer waits for the success of {jobs(waived)}" if waived else text


def _moved(facts: Detail) -> str:
    parts = []
    if facts.pop("top", None):
        parts.append("to the top")
    for what in ("queue", "priority"):
        if change := facts.pop(what, None):
            parts.append(f"from {what} {change['from']} to {change['to']}")
    return f"moved {', '.join(parts)}".rstrip()


WORDS: Mapping[str, Callable[[Detail], str]] = {
    "submitted": _submitted,
    "claimed": _claimed,
    "started": _started,
    "resumed": _resumed,
    "requeued": _requeued,
    "released": _released,
    "held": _held,
    "succeeded": _final("succeeded"),
    "failed": _final("failed"),
    "cancelled": _final("cancelled"),
    "cancel_requested": _cancel_requested,
    "retried": _retried,
    "moved": _moved,
}


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
