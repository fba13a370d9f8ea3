"""The embedded stack in the foreground: up."""

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

# Seconds between two looks at the stack's parts.
LOOK_S = 0.5


@click.command()
@slots_option
@queues_option
@output_options(json=False, quiet="Say nothing.")
def up(slots: str | None, queues: Sequence[str], output: Output) -> None:
    """Start the embedded stack: a private Redis, SQLite and one worker.

    Runs until Ctrl-C, SIGTERM or `fornada worker drain`; running jobs are then saved and queued
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
                _until_told(client, stack, output)
        except KeyboardInterrupt:
            # Told while it was starting; it is stopped all the same.
            pass
    output.note("Fornada is down.")


def _until_told(client: "Client", stack: "LocalStack", output: Output) -> None:
    said = False
    try:
        while not stack.drained:
            stack.check()
            said = said or _said_how(client, stack, output)
            time.sleep(LOOK_S)
        output.note("The worker was drained: its jobs are queued again, for the next fornada up.")
    except KeyboardInterrupt:
        output.note("Stopping: running jobs are queued again; Ctrl-C once more ends at once.")


def _said_how(client: "Client", stack: "LocalStack", output: Output) -> bool:
    """Say how to use the stack once its worker is there; returns whether it is."""
    ours = [one for one in client.workers() if one["name"] == stack.worker_name]
    if not ours:
        return False
    home = client.settings.home
    prefix = f"FORNADA_HOME={shlex.quote(str(home))} " if os.environ.get("FORNADA_HOME") else ""
    slots = ", ".join(slot["name"] for slot in ours[0]["slots"])
    output.note(f"Fornada is up in {home}, slots: {slots}. Ctrl-C stops it.")
    output.note(f"  In another terminal: {prefix}fornada submit SPEC")
    output.note(f"  Logs: {home / 'logs'}")
    return True
