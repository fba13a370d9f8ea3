"""Queues: queue ls, pause, resume, set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from fornada.cli.options import output_options
from fornada.cli.output import Column, Output

Names = Sequence[str]


@click.group()
def queue() -> None:
    """List, pause and limit queues.

    \b
    Example:
      fornada queue ls
    """


def _labels(ctx: click.Context, parameter: click.Parameter, names: Names) -> Names:
    from fornada.spec.kinds.text import is_label

    for name in names:
        if not is_label(name):
            raise click.BadParameter(f'"{name}" names no queue; for example default')
    return names


names_argument = click.argument(
    "names", nargs=-1, required=True, metavar="QUEUE…", callback=_labels
)


@queue.command("ls")
@output_options(quiet="Print names alone.")
def list_queues(output: Output) -> None:
    """List the queues that have jobs, workers or a limit.

    \b
    Examples:
      fornada queue ls
      fornada queue ls --json
    """
    from fornada.client import Client

    with Client() as client:
        found = client.queues()
    if output.for_programs(found, key="name"):
        return
    heads = ("NAME", "STATE", "RUNNING", "MAX", "QUEUED", "HELD", "WORKERS")
    output.table(
        [Column(head, right=head not in {"NAME", "STATE"}, wraps=head == "NAME") for head in heads],
        map(_row, found),
        empty="no queue has a job or a worker",
    )


@queue.command()
@names_argument
@output_options(quiet="Say nothing.")
def pause(names: Names, output: Output) -> None:
    """Start no more jobs of these queues; those that run go on.

    \b
    Example:
      fornada queue pause default
    """
    from fornada.client import Client

    with Client() as client:
        _each(client, names, client.pause_queue, output)


@queue.command()
@names_argument
@output_options(quiet="Say nothing.")
def resume(names: Names, output: Output) -> None:
    """Start jobs of these queues again.

    \b
    Example:
      fornada queue resume default
    """
    from fornada.client import Client

    with Client() as client:
        _each(client, names, client.resume_queue, output)


def _limit(ctx: click.Context, parameter: click.Parameter, value: str) -> int | None:
    if value == "none":
        return None
    if not value.isdecimal() or not 1 <= int(value) <= MOST:
        raise click.BadParameter(
            f'"{value}"; expected how many jobs, at least 1, or none. '
            "To start no job at all: fornada queue pause"
        )
    return int(value)


# More than any fleet has slots.
MOST = 1_000_000


@queue.command("set")
@names_argument
@click.option(
    "--max-running",
    required=True,
    metavar="N|none",
    callback=_limit,
    help="How many jobs of the queue may run at a time.",
)
@output_options(quiet="Say nothing.")
def set_(names: Names, max_running: int | None, output: Output) -> None:
    """Limit how many jobs of a queue run at a time.

    \b
    Examples:
      fornada queue set default --max-running 2
      fornada queue set default --max-running none
    """
    from fornada.client import Client

    with Client() as client:
        _each(client, names, lambda name: client.set_max_running(name, max_running), output)


def _each(client: Any, names: Names, do: Callable[[str], None], output: Output) -> None:
    """Do it to each queue, and answer with how they stand now."""
    for name in names:
        do(name)
    found = {one["name"]: one for one in client.queues() if one["name"] in names}
    if output.json:
        output.document([found[name] for name in names if name in found])
    elif not output.quiet:
        for name in names:
            output.line(_said(name, found.get(name)))


def _said(name: str, one: Mapping[str, Any] | None) -> str:
    if one is None:
        return f"queue {name}: open"
    limit = one["max_running"]
    parts = ["paused" if one["paused"] else "open"]
    parts += [] if limit is None else [f"at most {limit} at a time"]
    jobs = f"{one['running']} running, {one['queued']} queued"
    # Perhaps a misspelt name: a queue is there as soon as it is named.
    served = "" if one["workers"] else "; no worker serves it"
    return f"queue {name}: {', '.join(parts)}; {jobs}{served}"


def _row(one: Mapping[str, Any]) -> list[object]:
    return [
        one["name"],
        "paused" if one["paused"] else "open",
        one["running"],
        one["max_running"],
        one["queued"],
        one["held"],
        one["workers"],
    ]
