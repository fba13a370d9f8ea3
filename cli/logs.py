"""The logs command: prints a job's training log."""

import codecs
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from fornada.cli.best_so_far import BestEpoch
from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.follow import ended_by_sigterm
from fornada.cli.formatting import BRIEF, failed, size
from fornada.cli.options import job_argument
from fornada.cli.progress import LOST, best_value, epochs_wanted
from fornada.cli.streams import current
from fornada.db import printable
from fornada.db.states import FINAL_STATES

if TYPE_CHECKING:
    from fornada.client.logs import Piece
    from fornada.db.answers import JobAnswer


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the job has ended.")
@click.option(
    "--attempt",
    type=click.IntRange(1),
    metavar="N",
    help="Only the log of this attempt; default: all.",
)
def logs(reference: str, follow: bool, attempt: int | None) -> None:
    """Print a job's training log, from any host.

    Prints the logs of all attempts in order, byte for byte. A line on stderr announces each
    attempt, and the last line there says how the job ended, or that it has not ended. If the folder
    of artifacts is mounted here, the logs are read from it; otherwise they come from the database,
    which keeps the first 4 MiB of each attempt until an hour after the attempt has ended. With
    --follow the command continues through retries and lost connections. Ctrl-C stops the command,
    not the job.

    \b
    Examples:
      fornada logs 12
      fornada logs -f @last
    """
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        # Resolve the name once: `@last` may name another job a moment later.
        job_id = client.find_one(reference)
        read = client.follow_log if follow else client.log
        try:
            _write(job_id, read(job_id, attempt=attempt, tell=_say))
            _say(ending(client.show(job_id), attempt))
        except KeyboardInterrupt:
            raise ExitWith(
                ExitCode.INTERRUPTED,
                f"Stopped reading; job {job_id} is not affected.\n"
                f"  Read on: fornada logs -f {job_id}",
            ) from None


def _write(job_id: int, pieces: Iterable["Piece"]) -> None:
    stdout, streams = sys.stdout.buffer, current()
    terminal = _Terminal()
    attempt = 0
    for piece in pieces:
        if piece.attempt != attempt:
            attempt = piece.attempt
            _say(f"job {job_id}, attempt {attempt}, on {piece.host}")
        if piece.missing != 0:
            gap = "the rest, if any" if piece.missing is None else size(piece.missing)
            _say(f"missing in the database: {gap}; {_whole(piece)}")
        stdout.write(terminal.shown(piece.data) if sys.stdout.isatty() else piece.data)
        # Show each piece at once to a person who follows the log.
        stdout.flush()
        if streams is not None and streams.stdout_failed():
            # Nobody reads on, and a log may go on for days.
            return


class _Terminal:
    """Makes a log harmless for a terminal: a library may print anything, names of files too."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def shown(self, data: bytes) -> bytes:
        """What to write for the next bytes of the log, which may end within a character."""
        return printable.lines(self._decoder.decode(data)).encode()


def ending(job: "JobAnswer", number: int | None) -> str:
    """How a job or one of its attempts ended, in one line; or that it has not ended.

    Args:
        job: the document of the job.
        number: of the attempt whose log was read; None for all attempts.
    """
    of_number = [one for one in job["executions"] if one["attempt"] == number]
    if number is not None and of_number and of_number[0]["outcome"]:
        attempt = of_number[0]
        reason = failed(attempt["failure"], BRIEF)
        text = f"attempt {number} {attempt['outcome']}"
        return f"{text}: {reason}" if reason else text
    if job["state"] not in FINAL_STATES:
        state = LOST if job.get("lost") else job["state"]
        return f"job {job['id']} is {state}; read on: fornada logs -f {job['id']}"
    wanted = epochs_wanted(job) or "?"
    text = f"job {job['id']} {job['state']} after {job['epochs_run']} of {wanted} epochs"
    if reason := failed(job["failure"], BRIEF):
        return f"{text}: {reason}"
    best = job["best"]
    if best is None:
        return text
    return f"{text}, best {best_value(job, BestEpoch(best['epoch'], best['value']))}"


def _whole(piece: "Piece") -> str:
    """Where the whole log is, or that its file is gone.

    If its folder is not mounted here, this command cannot know whether the file exists.
    """
    if piece.file.parent.exists() and not piece.file.exists():
        return f"the file with the whole log is gone: {piece.file}"
    return f"the whole log is on {piece.host}: {piece.file}"


def _say(text: str) -> None:
    click.echo(f"-- {text}", err=True)
