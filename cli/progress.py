"""How a job's progress is shown on stderr: bars on a terminal, a line an epoch elsewhere."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

from fornada.cli.formatting import count, duration, number
from fornada.cli.output import Output
from fornada.cli.reasons import sentence
from fornada.db.reasons import Backoff

if TYPE_CHECKING:
    from fornada.client import Sight


class Show(Protocol):
    """Anything that shows a sight of a job."""

    def __call__(self, sight: "Sight") -> None:
        """Show it."""


@contextmanager
def shown(output: Output) -> Iterator[Show]:
    """A way to show sights of one job; what it draws stays behind when it ends."""
    if output.quiet:
        yield lambda sight: None
    elif output.rich(sys.stderr):
        from fornada.cli.bars import Bars

        with Bars(output.console(sys.stderr)) as bars:
            yield bars
    else:
        yield _Lines()


class _Lines:
    """A line when the state changes, and one for each epoch."""

    def __init__(self) -> None:
        self._said: object = None
        self._began = Began()

    def __call__(self, sight: "Sight") -> None:
        job = sight.job
        state = standing(sight)
        # Seconds change at each look: a new line would say nothing new.
        key = sight.waits.attempt if isinstance(sight.waits, Backoff) else sight.waits or state
        if key != self._said and not sight.final:
            click.echo(f"job {job['id']}: {state}", err=True)
            self._said = key
        if began := self._began(job):
            click.echo(began, err=True)
        for epoch in sight.epochs:
            # The best is today's: beside an epoch of the past it would be a lie.
            latest = epoch is sight.epochs[-1]
            click.echo(_epoch_line(job if latest else job | {"best": None}, epoch), err=True)


class Began:
    """A line for each attempt that is not the job's first, once it has begun."""

    def __init__(self) -> None:
        self._attempt = 0

    def __call__(self, job: Mapping[str, Any]) -> str | None:
        """The line, the first time; None when there is nothing new to say."""
        began = beginning(job)
        if began is None or job["attempts"] == self._attempt:
            return None
        self._attempt = job["attempts"]
        return f"job {job['id']}: {began}"


def standing(sight: "Sight") -> str:
    """The state in words that say more than the state alone."""
    job = sight.job
    if sight.waits:
        return f"{job['state']}: {sentence(sight.waits, sight.starts_in_s)}"
    if job["state"] == "running" and not job["epochs_run"]:
        # Reading and checking data, building the model: seconds in which nothing else is seen.
        return "running, reads data and builds the model"
    return str(job["state"])


def beginning(job: Mapping[str, Any]) -> str | None:
    """How the last attempt has begun, where that is worth a line: a retry, or a resumed one."""
    last = job["executions"][-1] if job["executions"] else None
    if last is None or not last["started_at"]:
        return None
    resumed = last.get("resumed")
    if last["attempt"] == 1 and not resumed:
        return None
    said = f"attempt {last['attempt']} on {last['host']} {began_at(resumed)}"
    if resumed and resumed.get("inexact"):
        said += f"; exactness lost: {resumed['inexact']}"
    return said


def began_at(resumed: Mapping[str, Any] | None) -> str:
    """Where an attempt began."""
    if not resumed:
        return "began at the first epoch"
    batch = f", batch {resumed['batch']}" if resumed.get("batch") else ""
    return f"goes on at epoch {resumed['epoch']}{batch}"


def epochs_wanted(job: Mapping[str, Any]) -> int:
    """The spec's number of epochs."""
    return int(job["spec"]["fit"]["epochs"])


def _epoch_line(job: Mapping[str, Any], epoch: Mapping[str, Any]) -> str:
    wanted = epochs_wanted(job)
    width = len(str(wanted))
    seconds = duration(epoch["seconds"])
    return f"epoch {epoch['epoch']:>{width}}/{wanted}  {seconds:>7}  {numbers(job, epoch)}"


def numbers(job: Mapping[str, Any], epoch: Mapping[str, Any]) -> str:
    """What an epoch came to, in one line."""
    metrics = epoch["metrics"]
    parts = [f"{count(epoch['images_per_s'])} images/s"]
    parts += [f"{name} {number(metrics[name])}" for name in ("loss", "val_loss") if name in metrics]
    best = job.get("best")
    if best:
        parts.append(f"best {number(best['value'])} at {best['epoch']}")
    return "  ".join(parts)
