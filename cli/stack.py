"""The commands up and down: start and stop the embedded stack."""

import os
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.follow import ended_by_sigterm
from fornada.cli.homes import require_writable
from fornada.cli.options import ONLY_PROBLEMS, output_options, queues_option, seconds, slots_option
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.answers import WorkerAnswer
    from fornada.stack.local import LocalStack

# Seconds between two checks that all parts of the stack run.
LOOK_S = 0.5


@click.command()
@slots_option
@queues_option
@click.option(
    "--detach",
    is_flag=True,
    help="Return when the worker has started; the stack runs on without the terminal.",
)
@output_options(json=False, quiet=ONLY_PROBLEMS)
def up(slots: str | None, queues: Sequence[str], detach: bool, output: Output) -> None:
    """Start the embedded stack: a private Redis, SQLite and one worker.

    Runs until Ctrl-C, SIGTERM, `fornada down` or `fornada worker drain`. Running jobs are then
    saved and queued again. docs/service.md shows how to run it as a service.

    \b
    Examples:
      fornada up --slots 2
      fornada up --detach
    """
    from fornada.client import Client
    from fornada.stack.local import LocalStack

    with Client() as client, ended_by_sigterm():
        require_writable(client.settings)
        options = ["--slots", slots] if slots else []
        stack = LocalStack(client.settings, queues=queues, worker_options=options)
        if detach:
            _detach(client, [*options, "--queues", ",".join(queues)], output)
            return
        _say_that_it_starts(client, output)
        try:
            with stack:
                _watch(client, stack, output)
        except KeyboardInterrupt:
            # Ctrl-C came while the stack was starting. The `with` block has stopped it.
            pass
    output.note("Fornada is down.")


@click.command()
@click.option(
    "--timeout", type=seconds, metavar="TIME", help="Wait no longer; the stack still stops."
)
@output_options(json=False, quiet=ONLY_PROBLEMS)
def down(timeout: float | None, output: Output) -> None:
    """Stop the embedded stack of this home, and wait for its end.

    It does not matter where the stack was started. Running jobs are saved and queued again: the
    next `fornada up` continues them. This takes at most `FORNADA_GRACE_S` and a few seconds. For a
    server: `fornada worker drain`.

    \b
    Examples:
      fornada down
      fornada down --timeout 30s
    """
    from fornada.errors import SettingsError
    from fornada.settings import Settings
    from fornada.stack.stopping import running_stack

    settings = Settings()
    if not settings.embedded:
        raise SettingsError(
            "fornada down stops an embedded stack, but FORNADA_DATABASE_URL or FORNADA_BROKER_URL "
            "names a server. Stop its workers: fornada worker drain NAME"
        )
    with running_stack(settings) as stack:
        if stack is None:
            raise ExitWith(ExitCode.WRONG_STATE, f"no stack is up in {settings.home}")
        if stack.holder.command == "run":
            raise ExitWith(
                ExitCode.WRONG_STATE,
                f"the stack in {settings.home} belongs to a fornada run (process "
                f"{stack.holder.pid}), which stops it when its job has ended. "
                "Press Ctrl-C there, or cancel its job: fornada cancel JOB",
            )
        stack.ask_to_stop()
        output.note(
            f"Stopping the stack in {settings.home} (process {stack.holder.pid}); "
            "running jobs are saved and queued again."
        )
        if not stack.ended_within(timeout):
            raise ExitWith(ExitCode.WAIT_TIMED_OUT, f"not down after {timeout:g} s; it still stops")
    output.note("Fornada is down.")


def _detach(client: "Client", options: Sequence[str], output: Output) -> None:
    from fornada.cli import detached

    home = client.settings.home
    _say_that_it_starts(client, output)
    pid, worker = detached.start(client, options)
    output.note(f"Fornada is up in {home} (process {pid}), slots: {_slots(worker)}.")
    output.note(f"  Stop it: {_home(client)}fornada down")
    output.note(f"  Logs: {home / 'logs'}")


def _say_that_it_starts(client: "Client", output: Output) -> None:
    from fornada.stack import stack_lock

    client.settings.make_home()
    if not stack_lock.running(client.settings):
        output.note(f"Starting the embedded stack in {client.settings.home}.")


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
    output.note(f"Fornada is up in {home}, slots: {_slots(ours[0])}. Ctrl-C stops it.")
    output.note(f"  In another terminal: {_home(client)}fornada submit SPEC")
    output.note(f"  Logs: {home / 'logs'}")
    return True


def _home(client: "Client") -> str:
    """What to write before a command so that it uses this home too."""
    given = os.environ.get("FORNADA_HOME")
    return f"FORNADA_HOME={shlex.quote(str(client.settings.home))} " if given else ""


def _slots(worker: "WorkerAnswer") -> str:
    return ", ".join(slot["name"] for slot in worker["slots"])
