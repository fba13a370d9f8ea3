"""Starts `fornada up` as a process of its own, which outlives the terminal and this command."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fornada.cli.exit_codes import ExitCode, ExitWith

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.answers import WorkerAnswer

# Seconds between two looks whether the worker has registered.
LOOK_S = 0.1
# Seconds after which this command waits no longer; a worker that imports its modules from a cold
# disk may take minutes.
START_S = 300.0


def start(client: "Client", options: Sequence[str]) -> tuple[int, "WorkerAnswer"]:
    """Start `fornada up` in a session of its own, and wait until its worker has registered.

    It has no terminal, and writes to `logs/up.log` in the home. If this command is interrupted
    meanwhile, it stops what it has started.

    Args:
        client: asks for the worker.
        options: options of `fornada up`.
    Returns:
        Its process id, and its worker.
    Raises:
        ExitWith: the stack has ended: with its exit code and what it said. Or the worker has not
            registered in time; the stack goes on.
    """
    log = client.settings.home / "logs" / "up.log"
    client.settings.make_home()
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as opened:
        begins = opened.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("fornada")), "up", *options],
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            env=os.environ | {"FORNADA_HOME": str(client.settings.home)},
            start_new_session=True,
        )
    with _stopped_after_an_error(process):
        return process.pid, _worker(client, process, log, begins)


@contextmanager
def _stopped_after_an_error(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Leave no stack behind when this command is interrupted, or loses the database."""
    try:
        yield
    except ExitWith:
        # The stack has ended, or goes on as the message says.
        raise
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _worker(
    client: "Client", process: "subprocess.Popen[bytes]", log: Path, begins: int
) -> "WorkerAnswer":
    """Wait for the worker of a process.

    Args:
        client: asks for the worker.
        process: `fornada up`.
        log: its log.
        begins: where in the log its own lines begin, in bytes.
    """
    from fornada.stack.local import worker_name

    name = worker_name(process.pid)
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        code = process.poll()
        if code is not None:
            said = log.read_bytes()[begins:].decode(errors="replace").strip()
            raise ExitWith(_exit_code(code), f"{said}\n  Its log: {log}")
        found = next((row for row in client.workers() if row["name"] == name), None)
        if found is not None:
            return found
        time.sleep(LOOK_S)
    raise ExitWith(
        ExitCode.WAIT_TIMED_OUT,
        f"the worker has not started within {START_S:g} s; the stack (process {process.pid}) goes "
        f"on. Its logs: {log.parent}. Stop it: fornada down",
    )


def _exit_code(code: int) -> ExitCode:
    """The exit code of a stack that has ended without being asked to."""
    return ExitCode(code) if code in set(ExitCode) - {ExitCode.DONE} else ExitCode.INTERNAL
