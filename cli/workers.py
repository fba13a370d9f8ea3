"""Workers: worker start, worker ls."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli.exits import Exit, ExitWith
from cli.options import output_options, queues_option
from cli.output import Column, Output
from cli.words import duration, since


@click.group()
def worker() -> None:
    """Start and list workers.

    \b
    Example:
      fornada worker ls
    """


@worker.command()
@click.option(
    "--slots",
    metavar="N|cpu|gpu:0,gpu:1",
    help="Places where one job runs each; default: one a GPU found, else one CPU.",
)
@queues_option
@click.option("--name", help="Name of the worker, unique among the living.")  # fmt: skip
def start(slots: str | None, queues: Sequence[str], name: str | None) -> None:
    """Start a worker on this host, in the foreground.

    It takes jobs from the queues and trains them. SIGTERM or Ctrl-C drains: running jobs are
    saved and queued again; a second one ends everything at once.

    \b
    Example:
      fornada worker start --slots gpu:0,gpu:1 --queues default,urgent
    """
    from fornada.local import running, worker_program
    from fornada.settings import Settings

    settings = Settings()
    if settings.embedded and not running(settings):
        raise ExitWith(
            Exit.WRONG_STATE,
            "the embedded stack is not up, so a worker would hear of no job. "
            "Start it, with a worker in it: fornada up. For a server, set FORNADA_DATABASE_URL, "
            "FORNADA_BROKER_URL and FORNADA_DATA_ROOT.",
        )
    words: Sequence[str] = ["--queues", ",".join(queues)]
    words = [*words, *(["--slots", slots] if slots else []), *(["--name", name] if name else [])]
    program = worker_program()
    # The worker takes this process's place, so that signals and the exit code are its own.
    os.execv(program, [str(program), *words])  # noqa: S606


@worker.command("ls")
@output_options(quiet="Print names alone.")
def list_workers(output: Output) -> None:
    """List the workers that are alive.

    \b
    Examples:
      fornada worker ls
      fornada worker ls --json
    """
    from fornada.client import Client

    with Client() as client:
        found = client.workers()
    if output.json:
        output.document(found)
        return
    if output.quiet:
        for one in found:
            output.line(one["name"])
        return
    heads = ("NAME", "HOST", "STATE", "SLOTS", "QUEUES", "JOBS", "SEEN")
    output.table(
        [Column(head, wraps=head in {"NAME", "HOST", "SLOTS", "QUEUES", "JOBS"}) for head in heads],
        map(_row, found),
        empty="no worker is alive; start one: fornada worker start, or fornada up",
    )


def _row(worker: Mapping[str, Any]) -> list[object]:
    return [
        worker["name"],
        worker["host"],
        worker["state"],
        ", ".join(slot["name"] for slot in worker["slots"]),
        ", ".join(worker["queues"]),
        ", ".join(map(str, worker["running"])) or None,
        f"{duration(since(worker['seen_at']))} ago",
    ]
