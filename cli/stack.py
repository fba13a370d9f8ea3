"""The up command: runs the embedded stack in the foreground."""

import os
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fornada.cli.follow import ended_by_sigterm
from fornada.cli.options import output_options, queues_option, slots_option
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.stack.local import LocalStack

# Seconds between two checks that all parts of the stack run.
LOOK_S = 0.5


@click.command()
@slots_option
@queues_option
@output_options(json=False, quiet="Print nothing.")
def up(slots: str | None, queues: Sequence[str], output: Output) -> None:
    """Start the embedded stack: a private Redis, SQLite and one worker.

    Runs until Ctrl-C, SIGTERM or `fornada worker drain`. Running jobs are then saved and queued
    again.

    \b
    Example:
      fornada up --slots 2
    """
    from fornada.client import Client
    from fornada.stack.local import LocalStack

    with Client() as client, ended_by_sigterm():
        options = ["--slots", slots] if slots else []
        stack = LocalStack(client.settings, queues=queues, worker_options=options)
        try:
            with stack:
                _watch(client, stack, output)
        except KeyboardInterrupt:
            # Ctrl-C came while the stack was starting. The `with` block has stopped it.
            pass
    output.note("Fornada is down.")


def _watch(client: "Client", stack: "LocalStack", output: Output) -> None:
    """Watch the stack until its worker is drained or the person stops it."""
    explained = False
    try:
        while not stack.drained:
            stack.check()
            explained = explained or _explain(client, stack, output)
            time.sleep(LOOK_S)
        output.note("The worker was drained. Its jobs are queued again for the next fornada up.")
    except KeyboardInterrupt:
        output.note("Stopping; running jobs are queued again. Press Ctrl-C again to stop at once.")


def _explain(client: "Client", stack: "LocalStack", output: Output) -> bool:
    """Print how to use the stack, if its worker has started; return whether it has."""
    ours = [row for row in client.workers() if row["name"] == stack.worker_name]
    if not ours:
        return False
    home = client.settings.home
    prefix = f"FORNADA_HOME={shlex.quote(str(home))} " if os.environ.get("FORNADA_HOME") else ""
    slots = ", ".join(slot["name"] for slot in ours[0]["slots"])
    output.note(f"Fornada is up in {home}, slots: {slots}. Ctrl-C stops it.")
    output.note(f"  In another terminal: {prefix}fornada submit SPEC")
    output.note(f"  Logs: {home / 'logs'}")
    return True
