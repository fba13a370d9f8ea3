"""Show a job's progress on stderr: a bar on a terminal, else one line per epoch."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from fornada.cli.best_so_far import BestEpoch, BestSoFar
from fornada.cli.formatting import count, duration, number
from fornada.cli.output import Output
from fornada.cli.reasons import why_it_waits
from fornada.db.reasons import Backoff
from fornada.db.states import JobState

if TYPE_CHECKING:
    from fornada.client import Progress
    from fornada.db.answers import EpochAnswer, JobAnswer, ResumedAnswer


# The state of a running job whose worker was killed.
LOST = "lost, resumes when a worker starts"


class Show(Protocol):
    """A callable that shows a job as it was seen at one moment."""

    def __call__(self, progress: "Progress") -> None:
        """Show the job."""


@contextmanager
def shown(output: Output) -> Iterator[Show]:
    """Yield a function that shows one job's progress. What it draws stays on the screen."""
    if output.quiet:
        yield lambda progress: None
    elif output.redraws(sys.stderr):
        from fornada.cli.bars import Bars

        with Bars(output.console(sys.stderr)) as bars:
            yield bars
    else:
        yield _Lines()


class _Lines:
    """Prints one line when the state changes, and one line for each epoch."""

    def __init__(self) -> None:
        self._last_key: object = None
        self._began = Began()
        self._best = BestSoFar()

    def __call__(self, progress: "Progress") -> None:
        job = progress.job
        # This line names the job, and says no more than the lines of the epochs after it do.
        names = self._last_key is None and standing(progress) == JobState.RUNNING
        if names:
            self._say_state(progress)
        if began := self._began(job):
            click.echo(began, err=True)
        for epoch, best in self._best(job, progress.epochs):
            if epoch["attempt"] == 0:
                # The job that this job continues has trained it.
                continue
            click.echo(_epoch_line(job, epoch, best), err=True)
        if not names:
            # The job is in this state after these epochs.
            self._say_state(progress)

    def _say_state(self, progress: "Progress") -> None:
        state = standing(progress)
        # The remaining seconds of a backoff change at each look. Compare the attempt instead,
        # so that a new line is printed only when there is news.
        waits = progress.waits
        key = waits.attempt if isinstance(waits, Backoff) else waits or state
        # The lines of the epochs say that a job runs, and an earlier line that it is queued. Only
        # the first line says it, to name the job.
        known = self._last_key and state in (JobState.RUNNING, JobState.QUEUED)
        if key != self._last_key and not progress.final and not known:
            click.echo(f"job {progress.job['id']}: {state}", err=True)
            self._last_key = key


class Began:
    """Makes one line for each attempt that has begun, if it is a retry or has resumed."""

    def __init__(self) -> None:
        self._attempt = 0

    def __call__(self, job: "JobAnswer") -> str | None:
        """The line when it is new; None when there is nothing new to report."""
        began = beginning(job)
        if began is None or job["attempts"] == self._attempt:
            return None
        self._attempt = job["attempts"]
        return f"job {job['id']}: {began}"


def standing(progress: "Progress") -> str:
    """The job's state, with the reason if it waits and its current step if it runs."""
    job = progress.job
    if job.get("lost"):
        start = progress.start_worker
        return f"{LOST}; start one: {start}" if start else LOST
    if progress.waits:
        return f"{job['state']}: {why_it_waits(progress)}"
    if job["state"] == JobState.RUNNING and (step := _step(job)):
        return f"running, {step}"
    return str(job["state"])


def _step(job: "JobAnswer") -> str | None:
    """What a running attempt does when no epoch shows it: before the first one, after the last."""
    if job["cancel_requested_at"]:
        return "asked to stop"
    last = job["executions"][-1] if job["executions"] else None
    if last is None or not last["started_at"]:
        return "reads data and builds the model"
    begins_at = last["resumed"]["epoch"] if last["resumed"] else 1
    if job["epochs_run"] < begins_at:
        return f"trains epoch {begins_at}"
    wanted = epochs_wanted(job)
    return "evaluates the best model" if wanted and job["epochs_run"] >= wanted else None


def beginning(job: "JobAnswer") -> str | None:
    """How the last attempt began, if it is a retry or has resumed; None otherwise."""
    last = job["executions"][-1] if job["executions"] else None
    if last is None or not last["started_at"]:
        return None
    resumed = last["resumed"]
    if last["attempt"] == 1 and not resumed:
        return None
    line = f"attempt {last['attempt']} on {last['host']} {began_at(resumed)}"
    if resumed and resumed["inexact"]:
        line += f"; no longer exact: {resumed['inexact']}"
    if last["anew"]:
        line += f", because no training state fits: {last['anew']}"
    return line


def began_at(resumed: "ResumedAnswer | None") -> str:
    """The epoch and batch at which an attempt began."""
    if not resumed:
        return "began at the first epoch"
    batch = f", batch {resumed['batch']}" if resumed["batch"] else ""
    return f"continues at epoch {resumed['epoch']}{batch}"


def epochs_wanted(job: "JobAnswer") -> int | None:
    """The number of epochs that the spec asks for; None if the spec cannot be read."""
    from fornada.db.reads import recorded_specs

    return recorded_specs.epochs(job["spec"])


def _epoch_line(job: "JobAnswer", epoch: "EpochAnswer", best: BestEpoch | None) -> str:
    wanted = epochs_wanted(job) or "?"
    width = len(str(wanted))
    seconds = duration(epoch["seconds"])
    values = "  ".join(numbers(job, epoch, best))
    return f"epoch {epoch['epoch']:>{width}}/{wanted}  {seconds:>7}  {values}"


def numbers(job: "JobAnswer", epoch: "EpochAnswer", best: BestEpoch | None) -> list[str]:
    """The numbers of one epoch: images per second, all its metrics, the best value so far.

    The best value is named: `best val_loss 0.41 at 6`.

    Args:
        job: names the monitor.
        epoch: the epoch.
        best: the best epoch up to this one; None without one.
    """
    metrics = epoch["metrics"]
    parts = [f"{count(epoch['images_per_s'])} images/s"]
    parts += [f"{name} {number(metrics[name])}" for name in in_pairs(metrics)]
    if best is not None:
        parts.append(f"best {best_value(job, best)}")
    return parts


def best_value(job: "JobAnswer", best: BestEpoch) -> str:
    """The best value with the name of the monitor and its epoch: `val_loss 0.41 at 6`."""
    return f"{job['monitor']} {number(best.value)} at {best.epoch}"


def in_pairs(metrics: Collection[str]) -> list[str]:
    """Names of metrics, the loss first, and each with its validation after it."""
    partners = {f"val_{name}" for name in metrics}
    training = sorted((name for name in metrics if name not in partners), key=_after_the_loss)
    pairs = [[name, f"val_{name}"] for name in training]
    return [name for pair in pairs for name in pair if name in metrics]


def _after_the_loss(name: str) -> bool:
    return name != "loss"
