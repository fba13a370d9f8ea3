"""The command line of `fornada-worker`, read by the parent and again by the process it runs.

Standard library only: the parent must stay small.
"""

import argparse
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fornada.db import printable

# The Celery process could not start; a restart may help.
EXIT_FAILED = 1
# A restart does not help after these exit codes, so the parent passes them on.
EXIT_USAGE = 2
# A slot or the name belongs to another worker.
EXIT_HELD = 5
EXIT_SCHEMA = 6
# The home of an embedded stack is gone, and the record with it.
EXIT_HOME_GONE = 7
REFUSALS = frozenset({EXIT_USAGE, EXIT_HELD, EXIT_SCHEMA, EXIT_HOME_GONE})
# A person drained this worker with `fornada worker drain`: the parent ends too, with 0.
EXIT_DRAIN_REQUESTED = 10
# Pattern of a worker's name, which is also the name of its heartbeat file.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Options:
    """The options of a worker."""

    # As written: a count, `cpu`, `gpu:0,gpu:1`. None: one slot for each GPU, or one CPU slot.
    slots: str | None
    queues: tuple[str, ...]
    # Unique among living workers.
    name: str
    # Whether the command line gives the name.
    named: bool
    # Most jobs that one trainer runs; None leaves it to the setting.
    jobs_per_trainer: int | None
    # Process id of the parent; None when run by hand.
    parent: int | None
    # When the worker began, by the monotonic clock.
    begun: float
    # Descriptor of the heartbeat file, which the parent has locked; None when run by hand.
    heartbeat: int | None
    # Only check the health of running workers, and end.
    check: bool
    # Only mark the artifacts folder as that of the database, and end.
    adopt_artifacts: bool

    @property
    def home(self) -> Path:
        """Folder of locks and heartbeats, as `fornada.settings` finds it."""
        return Path(os.environ.get("FORNADA_HOME") or "~/.fornada").expanduser().absolute()


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line.

    Raises:
        SystemExit: with 0 after `--help`, with 2 when the command line is invalid.
    """
    parser = argparse.ArgumentParser(
        prog="fornada-worker",
        description="Take jobs from the queues and train them. SIGTERM or Ctrl-C drains: running "
        "jobs are stopped and queued again. A second signal ends everything at once.",
        epilog="example: fornada-worker --slots gpu:0,gpu:1 --queues default,urgent",
    )
    parser.add_argument(
        "--slots",
        metavar="N|cpu|gpu:0,gpu:1",
        help="slots; each runs one job at a time; default: one for each GPU, else one CPU slot",
    )
    parser.add_argument(
        "--queues", default="default", metavar="A,B", help="queues to serve; default: default"
    )
    parser.add_argument(
        "--name", help="name of this worker; no running worker may have it; default: HOST-PID"
    )
    parser.add_argument(
        "--jobs-per-trainer",
        type=int,
        metavar="N",
        help="jobs that one trainer process runs, one after the other, before a new process "
        "replaces it; default: FORNADA_JOBS_PER_TRAINER, or 100",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check whether the worker in this home (or the one that --name gives) is healthy, "
        "then exit: 0 if it is, 1 if not; for a container's health check",
    )
    parser.add_argument(
        "--adopt-artifacts",
        action="store_true",
        help="mark the artifacts folder as the one of this database, then exit; for a folder that "
        "workers refuse although it is the right one",
    )
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--heartbeat", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, default=time.monotonic(), help=argparse.SUPPRESS)
    found = parser.parse_args(arguments)
    queues = tuple(dict.fromkeys(part.strip() for part in found.queues.split(",") if part.strip()))
    if not queues:
        parser.error(
            f"--queues {found.queues!r} names no queue; write for example --queues default"
        )
    if found.name is not None and not NAME.fullmatch(found.name):
        parser.error(
            f"--name {found.name!r} is not a valid name for a worker; "
            f"expected up to 128 letters, digits, dots, dashes and underscores"
        )
    if found.jobs_per_trainer is not None and found.jobs_per_trainer < 1:
        parser.error(f"--jobs-per-trainer {found.jobs_per_trainer}: expected 1 or more")
    # The parent's process id, so that the name stays the same when the Celery process restarts.
    name = found.name or f"{socket.gethostname()}-{found.parent or os.getpid()}"
    return Options(
        found.slots,
        queues,
        name,
        found.name is not None,
        found.jobs_per_trainer,
        found.parent,
        found.begun,
        found.heartbeat,
        found.check,
        found.adopt_artifacts,
    )


class _OneLine(logging.Formatter):
    """Writes each message on one line: a text from outside cannot forge another one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging names it
        """The line, without the traceback."""
        record.message = printable.line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, without characters that control a terminal."""
        return printable.lines(super().formatException(ei))


def log_to_stderr() -> None:
    """Write plain lines: time in UTC, level, message."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _OneLine("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
