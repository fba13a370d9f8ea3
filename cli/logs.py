"""A job's training log: logs."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.follow import ended_by_sigterm
from fornada.cli.formatting import size
from fornada.cli.options import job_argument

if TYPE_CHECKING:
    from fornada.client.logs import Piece


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option(
    "--attempt", type=click.IntRange(1), metavar="N", help="Only this attempt's; default: all."
)
def logs(reference: str, follow: bool, attempt: int | None) -> None:
    """Print a job's training log, from any host.

    The logs of all attempts in their order, byte for byte; a line on stderr announces each. They
    are read from the folder of artifacts where that is mounted, else from the database, which keeps
    the first 4 MiB of each attempt for a while. Following goes on through retries and lost
    connections; Ctrl-C stops it, not the job.

    \b
    Examples:
      fornada logs 12
      fornada logs -f @last
    """
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        # The job that is meant now: @last may be another one soon.
        job_id = client.find_one(reference)
        read = client.follow_log if follow else client.log
        try:
            _write(job_id, read(job_id, attempt=attempt, tell=_say))
        except KeyboardInterrupt:
            raise ExitWith(
                ExitCode.INTERRUPTED,
                f"Stopped reading; job {job_id} is not touched.\n"
                f"  Come back: fornada logs -f {job_id}",
            ) from None


def _write(job_id: int, pieces: Iterable["Piece"]) -> None:
    stdout = sys.stdout.buffer
    attempt = 0
    for piece in pieces:
        if piece.attempt != attempt:
            attempt = piece.attempt
            _say(f"job {job_id}, attempt {attempt}, on {piece.host}")
        if piece.missing != 0:
            many = "what may follow" if piece.missing is None else size(piece.missing)
            _say(f"the database does not have {many}; {_whole(piece)}")
        stdout.write(piece.data)
        # Whoever reads along sees it now.
        stdout.flush()


def _whole(piece: "Piece") -> str:
    """Where the whole log is; looked for only where its folder is mounted here."""
    if piece.file.parent.exists() and not piece.file.exists():
        return f"the file with the whole is gone: {piece.file}"
    return f"the whole is on {piece.host}: {piece.file}"


def _say(text: str) -> None:
    click.echo(f"-- {text}", err=True)
