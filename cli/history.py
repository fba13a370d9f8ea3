"""Commands that read the record of jobs: ps, ls, show, metrics."""

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING, Literal, cast

import click

from fornada.cli import suggestions
from fornada.cli.formatting import count, duration, failed, local, minute, number, since
from fornada.cli.options import job_argument, moment, output_options, tag_option
from fornada.cli.output import Output
from fornada.cli.progress import in_pairs
from fornada.cli.reasons import about_when, why_it_waits, word
from fornada.cli.result import attempts, ran_s, report
from fornada.cli.tables import EMPTY, Column
from fornada.cli.timeline import timeline
from fornada.db.states import JobState

if TYPE_CHECKING:
    from fornada.client import Progress
    from fornada.db.answers import DataAnswer, EpochAnswer, HistoryAnswer, JobAnswer, LiveAnswer

# How many of a job's latest events `show` prints at its end.
LATEST = 12

# Most characters of a failure in the table of `ls` on a terminal.
FEW_WORDS = 60

_ALIVE = (
    Column("ID", right=True),
    Column("NAME", wraps=True),
    Column("STATE"),
    Column("PRIORITY", right=True, weight=1),
    Column("QUEUE", wraps=True, weight=3),
    Column("SLOT", weight=2),
    Column("EPOCH", weight=8),
    Column("BEST", wraps=True, weight=7),
    Column("ELAPSED", weight=4),
    Column("ETA", weight=6),
    Column("WAITS FOR", wraps=True, weight=9),
    Column("STARTS", weight=5),
)


class _State(click.Choice[str]):
    """The states of the record; `lost`, which answers print too, is none of them."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The state; a hint if somebody asks for lost jobs."""
        if value == "lost":
            self.fail(
                "a lost job is recorded as running until the next worker continues it: "
                "write --state running",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


# Which value of a metric sorts the list.
Which = Literal["min", "max"]


@click.command()
@output_options(quiet="Print only the ids.")
def ps(output: Output) -> None:
    """List the jobs that wait or run, and why each one waits.

    \b
    Examples:
      fornada ps
      fornada ps --json
    """
    from fornada.client import Client

    with Client() as client:
        rows = client.alive()
        store = client.settings.store
    if output.for_programs(rows):
        return
    output.table(
        _ALIVE,
        map(_alive_row, rows),
        empty=f"no job waits or runs in {store}; history: fornada ls",
        narrow=([*_ALIVE[:5], Column("NOW", wraps=True)], map(_short_row, rows)),
    )


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=_State([s.value for s in JobState]),
    help="Only jobs in this state; may be given several times.",
)
@tag_option
@click.option("--name", help="Only jobs with this name; * stands for any text.")
@click.option(
    "--since",
    "since_",
    type=moment,
    metavar="WHEN",
    help="Only jobs submitted since then: 2026-03-01, or 7d for the last seven days.",
)
@click.option(
    "--sort",
    default="time",
    show_default=True,
    metavar="time|duration|metric:NAME",
    shell_complete=suggestions.orders,
    help="Sort by time of submission, duration, or the best value of a metric.",
)
@click.option(
    "--ascending/--descending",
    default=None,
    help="Oldest, shortest or lowest first; or latest, longest or highest first. Default: latest, "
    "longest or best first.",
)
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Rows per page."
)
@click.option(
    "--cursor", metavar="CURSOR", help="Print the next page: the cursor that the last page printed."
)
@output_options(quiet="Print only the ids.")
def ls(  # noqa: PLR0913 - one argument per filter
    *,
    states: Sequence[str],
    tags: Sequence[tuple[str, str]],
    name: str | None,
    since_: datetime | None,
    sort: str,
    ascending: bool | None,
    limit: int,
    cursor: str | None,
    output: Output,
) -> None:
    """List past and present jobs, one page at a time.

    \b
    Examples:
      fornada ls --state succeeded --sort metric:val_loss
      fornada ls --tag owner=ana --since 7d
    """
    from fornada.client import Client
    from fornada.db.reads.pages import begins_with_greatest

    if sort not in {"time", "duration"} and not re.fullmatch("metric:.+", sort):
        raise click.BadParameter(
            f'"{sort}"; expected time, duration or metric:NAME, for example metric:val_loss',
            param_hint="--sort",
        )
    if ascending is None:
        ascending = not begins_with_greatest(sort)
    with Client() as client:
        page = client.jobs(
            states=states,
            tags=dict(tags),
            name=name,
            since=since_,
            sort=sort,
            descending=not ascending,
            after=cursor,
            limit=limit,
        )
        store = client.settings.store
    if output.json:
        output.document({"jobs": page.rows, "next": page.next})
        return
    if not output.for_programs(page.rows):
        metric = sort.removeprefix("metric:") if sort.startswith("metric:") else None
        which: Which = "max" if begins_with_greatest(sort) else "min"
        drawn = output.rich(sys.stdout)
        # A pipe gets the whole reason of a failure, a terminal its first words.
        longest = FEW_WORDS if drawn else None
        monitors = {row["monitor"] for row in page.rows if row["best"]}
        # On a terminal the head names a monitor that all rows share.
        monitor = monitors.pop() if drawn and len(monitors) == 1 and not metric else None
        rows = [
            _past_row(row, _best(row, metric, which, named=monitor is None), longest)
            for row in page.rows
        ]
        several = len({row["user"] for row in page.rows}) > 1
        asked = _asked(states, tags, name, since_)
        empty = f"no recorded job matches {asked} in {store}" if asked else f"no job in {store} yet"
        output.table(_past(metric, monitor, several), rows, empty=empty)
        _note_unknown_metric(metric, page.rows, output)
    if page.next:
        output.note(f"next page: --cursor {page.next}")


@click.command()
@job_argument
@click.option("--events", "whole", is_flag=True, help="Print only the job's events, all of them.")
@output_options()
def show(reference: str, whole: bool, output: Output) -> None:
    """Show everything that is recorded about a job.

    JOB is an id, the beginning of a uid, or @last. docs/cli.md lists the keys of the JSON document.
    New versions add keys and never rename one.

    \b
    Examples:
      fornada show 12
      fornada show 12 --events
      fornada show @last --json | jq -r .best.path
    """
    from fornada.client import Client

    with Client() as client:
        if output.json:
            output.document(client.events(reference) if whole else client.show(reference))
            return
        if whole:
            timeline(client.events(reference), output)
            return
        progress = next(client.follow(reference))
        events = client.events(progress.job["id"])
    report(progress.job, output)
    output.line("")
    output.facts(
        {"waits": why_it_waits(progress), **_details(progress.job), **_model(progress.job)}
    )
    _training_and_validation(progress, output)
    attempts(progress.job, output)
    if events:
        output.line("")
        output.heading("What happened")
        timeline(events[-LATEST:], output, known=_failures(progress.job))
        if len(events) > LATEST:
            output.line(f"all {len(events)} events: fornada show {progress.job['id']} --events")


@click.command()
@job_argument
@output_options()
def metrics(reference: str, output: Output) -> None:
    """Print a job's metrics, one row per epoch.

    In a pipe the rows are separated by tabs and begin with the names of the columns, as
    pandas.read_table("m.tsv") and spreadsheets expect. Numbers have all their digits there, and a
    cell without a value is empty.

    \b
    Examples:
      fornada metrics 12
      fornada metrics 12 > m.tsv
      fornada metrics 12 --json | jq '.epochs[-1].metrics'
    """
    from fornada.client import Client

    with Client() as client:
        document = client.metrics(reference)
    if output.json:
        output.document(document)
        return
    epochs = document["epochs"]
    # ReduceLROnPlateau writes the learning rate into the metrics, and each epoch has it already.
    found = {name: None for epoch in epochs for name in epoch["metrics"] if name not in EPOCH}
    names = in_pairs(found)
    if epochs and not output.rich(sys.stdout):
        output.separated([*EPOCH, *names], [_whole(epoch, names) for epoch in epochs])
        return
    output.table(
        [
            Column("EPOCH", right=True),
            Column("SECONDS", right=True, weight=1),
            Column("IMAGES/S", right=True, weight=0),
            Column("LEARNING RATE", right=True, weight=2),
            *(Column(name, right=True, weight=-place) for place, name in enumerate(names, -1000)),
        ],
        [
            [
                epoch["epoch"],
                f"{epoch['seconds']:.2f}",
                round(epoch["images_per_s"]),
                number(epoch["learning_rate"]),
                *(number(epoch["metrics"].get(name)) for name in names),
            ]
            for epoch in epochs
        ],
        empty="no epoch has ended yet",
    )


# Columns of every epoch in a pipe, named as in the JSON document.
EPOCH = ("epoch", "seconds", "images_per_s", "learning_rate")


def _whole(epoch: "EpochAnswer", names: Sequence[str]) -> list[object]:
    """An epoch with all digits of its numbers."""
    row = cast("dict[str, object]", epoch)
    return [*(row[name] for name in EPOCH), *(epoch["metrics"].get(name) for name in names)]


def _failures(job: "JobAnswer") -> set[str]:
    """The failure messages that `report` and `attempts` have already printed."""
    failures = [job["failure"], *(execution["failure"] for execution in job["executions"])]
    return {failure["message"] or "" for failure in failures if failure}


def _alive_row(row: "LiveAnswer") -> list[object]:
    running = row["state"] == JobState.RUNNING
    state = "cancelling" if running and row["cancel_requested"] else _state(row)
    return [
        row["id"],
        row["name"],
        state,
        row["priority"],
        row["queue"],
        row["slot"] if running else None,
        f"{row['epoch']}/{row['epochs']}" if running else None,
        _best_so_far(row),
        duration(row["elapsed_s"]) if running else None,
        duration(row["eta_s"]),
        word(row["waits"]),
        about_when(row["starts_in_s"]),
    ]


def _short_row(row: "LiveAnswer") -> list[object]:
    """A row for a narrow terminal: the last cell says how far the job is, or why it waits."""
    return [*_alive_row(row)[:5], now(row)]


def now(row: "LiveAnswer") -> str:
    """What a job does now, in few words.

    `epoch 7/100, best val_loss 0.1, 3:07 left`, or `SlotsBusy, starts in ~3:07`.
    """
    best = f"best {_best_so_far(row)}" if row["best"] else None
    if row["state"] == JobState.RUNNING and not row.get("lost"):
        left = f"{duration(row['eta_s'])} left" if row["eta_s"] is not None else None
        parts = [f"epoch {row['epoch']}/{row['epochs']}", best, left]
    else:
        about = about_when(row["starts_in_s"])
        parts = [word(row["waits"]), f"starts in {about}" if about else None]
    return ", ".join(part for part in parts if part) or EMPTY


def _state(row: "LiveAnswer | HistoryAnswer") -> str:
    return "lost" if row.get("lost") else row["state"]


def _asked(
    states: Sequence[str],
    tags: Sequence[tuple[str, str]],
    name: str | None,
    since: datetime | None,
) -> str:
    """The filters of `ls`, as a person writes them; empty without any."""
    parts = [f"--state {state}" for state in states]
    parts += [f"--tag {quote(f'{key}={value}')}" for key, value in tags]
    parts += [f"--name {quote(name)}"] if name else []
    parts += [f"--since {since.astimezone():%Y-%m-%dT%H:%M}"] if since else []
    return " ".join(parts)


def _past(metric: str | None, monitor: str | None, several_users: bool) -> list[Column]:
    """The columns of `ls`.

    Args:
        metric: the metric that decides the order, and is shown; None without one.
        monitor: the monitor of all best values; None if each cell names its own.
        several_users: whether the jobs are of several users.
    """
    best = Column("BEST", wraps=True, weight=8)
    if metric or monitor:
        best = Column(metric or f"BEST {monitor}", right=True, weight=None if metric else 8)
    return [
        Column("ID", right=True),
        Column("NAME", wraps=True),
        Column("STATE"),
        Column("EPOCHS", right=True, weight=6),
        best,
        Column("DURATION", right=True, weight=4),
        Column("SUBMITTED", weight=2),
        Column("TAGS", wraps=True, weight=3, rare=True),
        Column("USER", wraps=True, weight=5 if several_users else 1),
        Column("FAILURE", wraps=True, weight=7, rare=True),
    ]


def _past_row(row: "HistoryAnswer", best: str | None, longest: int | None) -> list[object]:
    tags = row["tags"]
    return [
        row["id"],
        row["name"],
        _state(row),
        row["epochs_run"],
        best,
        duration(row["duration_s"]),
        minute(row["submitted_at"]),
        " ".join(f"{key}={value}" for key, value in tags.items()) or None,
        row["user"],
        failed(row["failure"], longest),
    ]


def _best(row: "HistoryAnswer", metric: str | None, which: Which, *, named: bool) -> str | None:
    """The value of the metric that sorts the list: the best of the job's epochs.

    If no metric sorts the list, the best value of the monitor, with the monitor's name if `named`.
    """
    if metric:
        found = row["metrics"].get(metric)
        return number(found[which]) if found else None
    if named:
        return _best_so_far(row)
    return number(row["best"]["value"]) if row["best"] else None


def _best_so_far(row: "HistoryAnswer | LiveAnswer") -> str | None:
    """The best value of the monitor, with the monitor's name: `val_loss 0.1084`."""
    best = row["best"]
    return f"{row['monitor']} {number(best['value'])}" if best else None


def _note_unknown_metric(
    metric: str | None, rows: Sequence["HistoryAnswer"], output: Output
) -> None:
    """Tell the person when no job has the metric to sort by: its name is probably misspelt."""
    known = sorted({name for row in rows for name in row["metrics"]})
    if metric and known and metric not in known:
        output.note(f'none of these jobs has a metric "{metric}"; they have: {", ".join(known)}')


def _details(job: "JobAnswer") -> dict[str, object]:
    """What `show` prints below the result: who submitted the job, when, and where it ran."""
    worker = job["worker"]
    data = job["data"]
    return {
        "uid": job["uid"],
        "user": job["user"],
        "queue": f"{job['queue']}, priority {job['priority']}",
        "tags": " ".join(f"{key}={value}" for key, value in job["tags"].items()) or None,
        "key": job["key"],
        "continues": job["continues"] and f"job {job['continues']}",
        "submitted": local(job["submitted_at"]),
        "started": local(job["started_at"]),
        "finished": local(job["finished_at"]),
        **_times(job),
        "attempts": job["attempts"],
        "worker": worker and worker["host"],
        "device": job["device"],
        "backend": job["backend"],
        "seed": job["seed"],
        "images": _images(data) if data else None,
        "classes": len(data["classes"]) if data else None,
    }


def _times(job: "JobAnswer") -> dict[str, object]:
    """How long a job waited, before and between its attempts, and how long it took in all."""
    total_s, ran = since(job["submitted_at"], job["finished_at"]), ran_s(job)
    if total_s is None or ran is None:
        return {}
    return {"waited": duration(max(0.0, total_s - ran)), "in all": duration(total_s)}


def _model(job: "JobAnswer") -> dict[str, object]:
    """What `show` prints about the model and how it is trained."""
    from fornada.cli.hyperparameters import hyperparameters

    parameters = job["parameters"]
    size = None if parameters is None else count(parameters)
    return {**hyperparameters(job["spec"]), "parameters": size}


def _training_and_validation(progress: "Progress", output: Output) -> None:
    """Metrics of the best epoch, else of the last one, on the images of each set."""
    best = progress.job["best"]
    chosen = [epoch for epoch in progress.epochs if best is None or epoch["epoch"] == best["epoch"]]
    if not chosen:
        return
    values = chosen[-1]["metrics"]
    partners = {f"val_{name}" for name in values}
    names = [name for name in in_pairs(values) if name not in partners]
    rows = [
        [name, number(values.get(name)) or EMPTY, number(values.get(f"val_{name}")) or EMPTY]
        for name in names
    ]
    which = "last" if best is None else "best"
    output.line("")
    output.heading(f"Metrics of epoch {chosen[-1]['epoch']}, the {which} one")
    output.grid(["metric", "train", "validation"], rows)


def _images(data: "DataAnswer") -> str:
    sets = [("train", data["train"]), ("validation", data["validation"]), ("test", data["test"])]
    return ", ".join(f"{name} {count(images)}" for name, images in sets if images)
