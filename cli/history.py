"""Commands that read the record of jobs: ps, ls, show, metrics."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import click

from fornada.cli.formatting import count, duration, local, minute, number
from fornada.cli.options import job_argument, moment, output_options, tag_option
from fornada.cli.output import EMPTY, Column, Output
from fornada.cli.reasons import about_when, sentence, word
from fornada.cli.result import attempts, report
from fornada.cli.timeline import timeline
from fornada.db.states import JobState

if TYPE_CHECKING:
    from fornada.db.answers import DataAnswer, HistoryAnswer, JobAnswer, LiveAnswer

# How many of a job's latest events `show` prints at its end.
LATEST = 12

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
    if output.for_programs(rows):
        return
    heads = ("ID", "NAME", "STATE", "PRIORITY", "QUEUE", "SLOT", "EPOCH", "BEST", "ELAPSED", "ETA")
    columns = [
        Column(head, right=head in {"ID", "PRIORITY"}, wraps=head in {"NAME", "QUEUE"})
        for head in heads
    ]
    output.table(
        [*columns, Column("WAITS FOR", wraps=True), Column("STARTS")],
        map(_alive_row, rows),
        empty="no job waits or runs; history: fornada ls",
        narrow=([*columns[:5], Column("NOW", wraps=True)], map(_short_row, rows)),
    )


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([s.value for s in JobState]),
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
    if output.json:
        output.document({"jobs": page.rows, "next": page.next})
        return
    if not output.for_programs(page.rows):
        metric = sort.removeprefix("metric:") if sort.startswith("metric:") else None
        # When a metric decides the order, the column shows that metric.
        best = metric or "BEST"
        which: Which = "min" if ascending else "max"
        heads = ("ID", "NAME", "STATE", "EPOCHS", best, "DURATION", "SUBMITTED", "TAGS")
        numbers = {"ID", "EPOCHS", "DURATION", metric}
        columns = [
            Column(head, right=head in numbers, wraps=head in {"NAME", "TAGS"}) for head in heads
        ]
        rows = [_past_row(row, metric, which) for row in page.rows]
        output.table(columns, rows, empty="no recorded job matches")
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
        sight = next(client.follow(reference))
        events = client.events(sight.job["id"])
    report(sight.job, output)
    output.line("")
    waits = sentence(sight.waits, sight.starts_in_s)
    output.facts({"waits": waits, **_details(sight.job)})
    attempts(sight.job, output)
    if events:
        output.line("")
        output.heading("What happened")
        timeline(events[-LATEST:], output, known=_failures(sight.job))
        if len(events) > LATEST:
            output.line(f"all {len(events)} events: fornada show {sight.job['id']} --events")


@click.command()
@job_argument
@output_options()
def metrics(reference: str, output: Output) -> None:
    """Print a job's metrics, one row per epoch.

    \b
    Examples:
      fornada metrics 12
      fornada metrics 12 --json | jq '.epochs[-1].metrics'
    """
    from fornada.client import Client

    with Client() as client:
        document = client.metrics(reference)
    if output.json:
        output.document(document)
        return
    epochs = document["epochs"]
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch["metrics"]))
    heads = ["EPOCH", "SECONDS", "IMAGES/S", "LEARNING RATE", *names]
    output.table(
        [Column(head, right=True) for head in heads],
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


def _failures(job: "JobAnswer") -> set[str]:
    """The failure messages that `report` and `attempts` have already printed."""
    failures = [job["failure"], *(execution["failure"] for execution in job["executions"])]
    return {failure["message"] or "" for failure in failures if failure}


def _alive_row(row: "LiveAnswer") -> list[object]:
    running = row["state"] == JobState.RUNNING
    state = "cancelling" if running and row["cancel_requested"] else row["state"]
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
    if row["state"] == JobState.RUNNING:
        left = f"{duration(row['eta_s'])} left" if row["eta_s"] is not None else None
        parts = [f"epoch {row['epoch']}/{row['epochs']}", best, left]
    else:
        about = about_when(row["starts_in_s"])
        parts = [word(row["waits"]), f"starts in {about}" if about else None]
    return ", ".join(part for part in parts if part) or EMPTY


def _past_row(row: "HistoryAnswer", metric: str | None, which: Which) -> list[object]:
    tags = row["tags"]
    return [
        row["id"],
        row["name"],
        row["state"],
        row["epochs_run"],
        _best(row, metric, which),
        duration(row["duration_s"]),
        minute(row["submitted_at"]),
        " ".join(f"{key}={value}" for key, value in tags.items()) or None,
    ]


def _best(row: "HistoryAnswer", metric: str | None, which: Which) -> str | None:
    """The value of the metric that sorts the list: its lowest or its highest value.

    If no metric sorts the list, the best value of the monitor, with the monitor's name.
    """
    if metric:
        found = row["metrics"].get(metric)
        return number(found[which]) if found else None
    return _best_so_far(row)


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
        "attempts": job["attempts"],
        "worker": worker and worker["host"],
        "device": job["device"],
        "backend": job["backend"],
        "seed": job["seed"],
        "images": _images(data) if data else None,
        "classes": len(data["classes"]) if data else None,
    }


def _images(data: "DataAnswer") -> str:
    sets = [("train", data["train"]), ("validation", data["validation"]), ("test", data["test"])]
    return ", ".join(f"{name} {count(images)}" for name, images in sets if images)
