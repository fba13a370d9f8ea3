"""Commands about queues: queue ls, pause, resume, set."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from fornada.cli import suggestions
from fornada.cli.options import ONLY_PROBLEMS, output_options
from fornada.cli.output import Output
from fornada.cli.tables import Column

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.answers import QueueAnswer

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
            raise click.BadParameter(f'"{name}" is not a valid queue name; for example default')
    return names


_QUEUES = (
    Column("NAME", wraps=True),
    Column("STATE"),
    Column("RUNNING", right=True, weight=5),
    Column("MAX", right=True, weight=1),
    Column("QUEUED", right=True, weight=4),
    Column("HELD", right=True, weight=2),
    Column("WORKERS", right=True, weight=3),
)

names_argument = click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="QUEUE…",
    callback=_labels,
    shell_complete=suggestions.queues,
)


@queue.command("ls")
@output_options(quiet="Print only the names.")
def list_queues(output: Output) -> None:
    """List the queues that have jobs, workers, a pause or a limit.

    \b
    Examples:
      fornada queue ls
      fornada queue ls --json
    """
    from fornada.client import Client

    with Client() as client:
        found = client.queues()
        store = client.settings.store
    if output.for_programs(found, key="name"):
        return
    output.table(
        _QUEUES,
        map(_row, found),
        empty=f"no queue has a job or a worker in {store}",
    )


@queue.command()
@names_argument
@output_options(quiet=ONLY_PROBLEMS)
def pause(names: Names, output: Output) -> None:
    """Start no more jobs from these queues; running jobs continue.

    \b
    Example:
      fornada queue pause default
    """
    from fornada.client import Client

    with Client() as client:
        _each(client, names, client.pause_queue, output)


@queue.command()
@names_argument
@output_options(quiet=ONLY_PROBLEMS)
def resume(names: Names, output: Output) -> None:
    """Start jobs from these queues again.

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
            f'"{value}"; expected a number of jobs, at least 1, or the word none. '
            "To start no jobs at all: fornada queue pause"
        )
    return int(value)


# The highest limit that is accepted, in jobs. All workers together have fewer slots.
MOST = 1_000_000


@queue.command("set")
@names_argument
@click.option(
    "--max-running",
    required=True,
    metavar="N|none",
    callback=_limit,
    help="How many jobs of the queue may run at a time; none removes the limit.",
)
@output_options(quiet=ONLY_PROBLEMS)
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


def _each(client: "Client", names: Names, change: Callable[[str], None], output: Output) -> None:
    """Change each queue, and print the new state of each."""
    for name in names:
        change(name)
    found = {row["name"]: row for row in client.queues() if row["name"] in names}
    if output.json:
        output.document([found[name] for name in names if name in found])
    elif not output.quiet:
        for name in names:
            output.line(_line(name, found.get(name)))


def _line(name: str, row: "QueueAnswer | None") -> str:
    if row is None:
        return f"queue {name}: open"
    limit = row["max_running"]
    parts = ["paused" if row["paused"] else "open"]
    parts += [] if limit is None else [f"at most {limit} at a time"]
    jobs = f"{row['running']} running, {row['queued']} queued"
    # Every name is accepted. This part shows that a name may be misspelt.
    served = "" if row["workers"] else "; no worker serves it"
    return f"queue {name}: {', '.join(parts)}; {jobs}{served}"


def _row(row: "QueueAnswer") -> list[object]:
    return [
        row["name"],
        "paused" if row["paused"] else "open",
        row["running"],
        row["max_running"],
        row["queued"],
        row["held"],
        row["workers"],
    ]
