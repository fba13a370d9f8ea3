"""Commands about workers: worker start, ls, drain."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fornada.cli import suggestions
from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.formatting import duration, since
from fornada.cli.options import (
    output_options,
    queues_option,
    seconds,
    slots_option,
    warn_of_variables,
)
from fornada.cli.output import Output
from fornada.cli.tables import Column
from fornada.db.states import WorkerState

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.answers import WorkerAnswer

# Seconds between two checks whether drained workers have ended.
LOOK_S = 0.5
_WORKERS = (
    Column("NAME", wraps=True),
    Column("HOST", wraps=True, weight=2),
    Column("STATE"),
    Column("SLOTS", wraps=True, weight=4),
    Column("QUEUES", wraps=True, weight=3),
    Column("JOBS", wraps=True, weight=5),
    Column("SEEN", weight=1),
)


@click.group()
def worker() -> None:
    """Start, list and drain workers.

    \b
    Example:
      fornada worker ls
    """


@worker.command()
@slots_option
@queues_option
@click.option("--name", help="Name of the worker; no other living worker may have it.")
def start(slots: str | None, queues: Sequence[str], name: str | None) -> None:
    """Start a worker on this host, in the foreground.

    It takes jobs from the queues and trains them. SIGTERM or Ctrl-C drains the worker: running
    jobs are saved and queued again. A second SIGTERM or Ctrl-C ends everything at once.

    \b
    Example:
      fornada worker start --slots gpu:0,gpu:1 --queues default,urgent
    """
    from fornada.settings import Settings
    from fornada.stack.local import worker_program
    from fornada.stack.stack_lock import running

    warn_of_variables(Output())
    settings = Settings()
    if settings.embedded and not running(settings):
        raise ExitWith(
            ExitCode.WRONG_STATE,
            "the embedded stack is not up, so a worker would get no jobs. "
            "Start the stack with its worker: fornada up. For a server, set FORNADA_DATABASE_URL, "
            "FORNADA_BROKER_URL and FORNADA_DATA_ROOT.",
        )
    options = ["--queues", ",".join(queues)]
    options += ["--slots", slots] if slots else []
    options += ["--name", name] if name else []
    program = worker_program()
    # Replace this process by the worker, so that the worker itself receives the signals and its
    # exit code is the command's.
    os.execv(program, [str(program), *options])  # noqa: S606


@worker.command("ls")
@output_options(quiet="Print only the names.")
def list_workers(output: Output) -> None:
    """List the workers that are alive.

    A worker is `unfit` while its host cannot run jobs, for example because the artifacts folder
    cannot be written. It takes no jobs then, and a warning says why. Another warning follows if
    Redis passes on no wake-ups. The workers then look for jobs only in each round of upkeep
    (`FORNADA_UPKEEP_S`).

    \b
    Examples:
      fornada worker ls
      fornada worker ls --json
    """
    from fornada.client import Client

    with Client() as client:
        found = client.workers()
        if output.for_programs(found, key="name"):
            return
        problem = client.broker_problem() if found else None
        store = client.settings.store
    output.table(
        _WORKERS,
        map(_row, found),
        empty=f"no worker of {store} is alive; start one: fornada worker start, or fornada up",
    )
    for each in found:
        if each["unfit"]:
            output.warn(f"{each['name']} takes no jobs: {each['unfit']}")
    if problem:
        output.warn(f"{problem}\n  The workers look for jobs in the database meanwhile.")


@worker.command()
@click.argument("name_or_host", metavar="WORKER|HOST", shell_complete=suggestions.workers)
@click.option("--wait", "waits", is_flag=True, help="Wait until the workers have ended.")
@click.option(
    "--timeout", type=seconds, metavar="TIME", help="With --wait: give up after this time."
)
@output_options(quiet="Print only the names.")
def drain(name_or_host: str, waits: bool, timeout: float | None, output: Output) -> None:
    """Ask a worker, or all workers of a host, to save their jobs and end.

    The workers take no more jobs; running jobs are saved and queued again. A worker sees the
    request within one round of upkeep (`FORNADA_UPKEEP_S`). A container engine may start the worker
    again: docs/operations.md says how to take a worker out of service.

    \b
    Examples:
      fornada worker drain oven-1
      fornada worker drain oven-1 --wait --timeout 2m
    """
    from fornada.client import Client

    if timeout is not None and not waits:
        raise click.UsageError("--timeout needs --wait: add --wait, or leave --timeout out")
    with Client() as client:
        asked = client.drain_worker(name_or_host)
        if output.json:
            output.document([{"name": name} for name in asked])
        for name in [] if output.json else asked:
            output.line(name if output.quiet else f"worker {name}: asked to drain")
        if waits:
            _until_gone(client, asked, timeout)


def _until_gone(client: "Client", names: Sequence[str], timeout_s: float | None) -> None:
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while left := [row["name"] for row in client.workers() if row["name"] in names]:
        if end is not None and time.monotonic() >= end:
            raise ExitWith(ExitCode.WAIT_TIMED_OUT, f"still alive: {', '.join(left)}")
        time.sleep(LOOK_S)


def _row(worker: "WorkerAnswer") -> list[object]:
    return [
        worker["name"],
        worker["host"],
        _standing(worker),
        ", ".join(slot["name"] for slot in worker["slots"]),
        ", ".join(worker["queues"]),
        ", ".join(map(str, worker["running"])) or None,
        f"{duration(since(worker['seen_at']))} ago",
    ]


def _standing(worker: "WorkerAnswer") -> str:
    state = str(worker["state"])
    asked = worker["drain_requested_at"] and state != WorkerState.DRAINING
    return f"{state}, to drain" if asked else state
