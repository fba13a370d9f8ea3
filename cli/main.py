"""The `fornada` command: its table of commands, and the only place that prints errors and exits."""

import gc
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path

import click

from fornada import __version__
from fornada.cli.exit_codes import ExitCode, ExitWith, of_error
from fornada.cli.lazy import LazyGroup
from fornada.cli.streams import Streams

# The environment variable by which a shell asks for completions; see `fornada completion`.
COMPLETION = "_FORNADA_COMPLETE"
COMMANDS = {
    "run": ("fornada.cli.jobs:run", "Train a spec here and now, and show the result."),
    "check": ("fornada.cli.specs:check", "Report every problem of every spec at once."),
    "render": ("fornada.cli.specs:render", "Print a spec with every default filled in."),
    "schema": (
        "fornada.cli.specs:schema",
        "Print the JSON Schema of a spec, for an editor that completes and checks while you type.",
    ),
    "submit": ("fornada.cli.jobs:submit", "Queue one job for each spec."),
    "ps": ("fornada.cli.history:ps", "List the jobs that wait or run, and why each one waits."),
    "ls": ("fornada.cli.history:ls", "List past and present jobs, one page at a time."),
    "show": ("fornada.cli.history:show", "Show everything that is recorded about a job."),
    "logs": ("fornada.cli.logs:logs", "Print a job's training log, from any host."),
    "metrics": ("fornada.cli.history:metrics", "Print a job's metrics, one row per epoch."),
    "wait": ("fornada.cli.jobs:wait", "Wait until jobs have ended, showing their progress."),
    "cancel": ("fornada.cli.steer:cancel", "Cancel jobs that wait or run."),
    "hold": ("fornada.cli.steer:hold", "Keep waiting jobs from starting."),
    "release": ("fornada.cli.steer:release", "Let held jobs start."),
    "move": (
        "fornada.cli.steer:move",
        "Give waiting jobs another place in the queue, or another queue.",
    ),
    "retry": ("fornada.cli.steer:retry", "Queue failed or cancelled jobs again."),
    "clone": (
        "fornada.cli.clone:clone",
        "Queue a new job from the spec of an old one, with changes.",
    ),
    "extend": (
        "fornada.cli.clone:extend",
        "Queue a new job that continues training where a finished job ended.",
    ),
    "queue": ("fornada.cli.queues:queue", "List, pause and limit queues."),
    "up": (
        "fornada.cli.stack:up",
        "Start the embedded stack: a private Redis, SQLite and one worker.",
    ),
    "down": (
        "fornada.cli.stack:down",
        "Stop the embedded stack of this home, and wait for its end.",
    ),
    "worker": ("fornada.cli.workers:worker", "Start, list and drain workers."),
    "data": ("fornada.cli.data:data", "Check, import and pack folders of images."),
    "db": ("fornada.cli.database:db", "Upgrade and check the database's schema."),
    "doctor": ("fornada.cli.doctor:doctor", "Check that a job would run, and say what to fix."),
    "completion": ("fornada.cli.completion:completion", "Print the completion script of a shell."),
}
# The commands that change something: jobs, queues, workers, files, the database.
CHANGE = frozenset(
    {
        *("run", "submit", "cancel", "hold", "release", "move", "retry", "clone", "extend"),
        *("queue pause", "queue resume", "queue set", "worker start", "worker drain"),
        *("data import", "data pack", "data gc", "db upgrade", "up", "down"),
    }
)


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fornada")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def fornada() -> None:
    """Train Keras models from specs: queue jobs, run them, look at their history.

    \b
    Example:
      fornada run specs/digits.yaml
    """


# After how many new objects Python looks for garbage, and how rarely it looks at older objects. By
# default it looks 140 times while `ls` imports its modules. That takes `ls` 0.04 s of 0.45 s and
# `submit` 0.06 s of 0.65 s, and there is hardly any garbage.
GARBAGE = (200_000, 20, 100)


def main() -> None:
    """Run the command line and exit with a code from `fornada.cli.exit_codes`."""
    gc.set_threshold(*GARBAGE)
    streams = Streams()
    if COMPLETION in os.environ:
        sys.exit(_complete())
    sys.exit(_told(streams, _run(sys.argv[1:], streams)))


def _complete() -> int:
    """Answer a shell. What goes wrong must not end on the line that somebody types."""
    from fornada.cli.shells import register

    register()
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        try:
            # This call answers and exits.
            fornada.main(prog_name="fornada", complete_var=COMPLETION)
        except Exception:  # noqa: BLE001 - a wrong setting, a file that cannot be read, …
            return ExitCode.DONE
    return ExitCode.DONE


def _run(arguments: list[str], streams: Streams) -> int:
    # Not click's main(), which exits with 1 when the reader of a pipe stops reading.
    # make_context() empties the list that it is given, so it gets a copy.
    try:
        with fornada.make_context("fornada", [*arguments], obj=streams) as context:
            fornada.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _say("Interrupted.", ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the only place that catches every error
        return _report(error, "--debug" in arguments)
    return ExitCode.DONE


def _report(error: Exception, debug: bool) -> int:
    code = of_error(error)
    if code is None:
        from fornada.cli.system_errors import explained

        # What the operating system refuses is a fault of this machine, which its owner can mend.
        error = explained(error) or error
        code = of_error(error)
    if (debug or os.environ.get("FORNADA_DEBUG")) and not isinstance(error, ExitWith):
        import traceback

        traceback.print_exception(error)
        return ExitCode.INTERNAL if code is None else code
    if code is None:
        first = str(error).strip().splitlines() or [""]
        return _say(
            f"Internal error: {type(error).__name__}: {first[0]}\n"
            "  FORNADA_DEBUG=1 (or fornada --debug …) shows where; please report it.",
            ExitCode.INTERNAL,
        )
    return _say(_message(error), code)


def _message(error: Exception) -> str:
    # These two modules are cheap to import: they load no library.
    from fornada.db.errors import DatabaseUnreachable, JobNotFound
    from fornada.patience import outage

    if isinstance(error, JobNotFound):
        from fornada.settings import Settings

        return f"{error}\n  Asked {Settings().store}."
    return outage(error) if isinstance(error, DatabaseUnreachable) else str(error)


def _say(message: str, code: ExitCode) -> int:
    if message:
        click.echo(message, err=True)
    return code


def _told(streams: Streams, code: int) -> int:
    """The exit code, after a look whether the answer was written."""
    lost = streams.lost()
    if lost is None:
        return code
    if streams.stderr_failed():
        click.echo("\n".join(streams.of_stderr))
        return code or ExitCode.OUTPUT_LOST
    lines = [*streams.of_stdout, f"The answer is lost: {lost}."]
    if _changes(sys.argv[1:]):
        lines.append("  What the command did stays done.")
    _say("\n".join(lines), ExitCode.OUTPUT_LOST)
    return code or ExitCode.OUTPUT_LOST


def _changes(arguments: list[str]) -> bool:
    """Whether a command line is one of a command that changes something."""
    words = [word for word in arguments if not word.startswith("-")]
    changes = bool(words) and not CHANGE.isdisjoint({words[0], " ".join(words[:2])})
    return changes and not {"--dry-run", "--help", "-h"} & set(arguments)
