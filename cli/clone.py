"""New jobs from old ones: clone, extend."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from fornada.cli.accepted import Announcement, conclude, told_terms
from fornada.cli.follow import ended_by_sigterm
from fornada.cli.options import (
    job_argument,
    never_mind_option,
    output_options,
    spec_options,
    term_options,
)
from fornada.cli.output import Output


@click.command()
@job_argument
@spec_options
@term_options
@never_mind_option
@click.option("-f", "--follow", is_flag=True, help="Show progress until the job has ended.")
@output_options(quiet="Print the new job's id alone.")
def clone(  # noqa: PLR0913 - each is an option of its own
    *,
    reference: str,
    overrides: Sequence[str],
    terms: Mapping[str, Any],
    wait_for_worker: bool,
    follow: bool,
    output: Output,
) -> None:
    """Queue a new job from the spec of an old one, with changes.

    The spec is the one that was recorded; changes are checked like a file's.

    \b
    Examples:
      fornada clone 12 --set fit.epochs=50
      fornada clone @last --set data.seed=2 --tag try=2
    """
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        spec = client.recorded(reference, overrides=overrides)
        told = told_terms(client, terms)
        with Announcement(told, output) as announce:
            jobs = client.submit_all(
                [spec],
                terms=told,
                wait_for_worker=wait_for_worker,
                warn=output.warn_of,
                accepted=announce,
            )
        conclude(client, jobs, output, follow=follow)


def _more(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    if not re.fullmatch(r"\+[1-9]\d{0,8}", value):
        raise click.BadParameter(
            f'"{value}"; expected how many more, with a plus, for example --epochs +20'
        )
    return int(value)


@click.command()
@job_argument
@click.option("--epochs", required=True, metavar="+N", callback=_more, help="How many more.")
@never_mind_option
@click.option("-f", "--follow", is_flag=True, help="Show progress until the job has ended.")
@output_options(quiet="Print the new job's id alone.")
def extend(
    *, reference: str, epochs: int, wait_for_worker: bool, follow: bool, output: Output
) -> None:
    """Queue a new job that goes on where a finished one has ended.

    10 epochs and 10 more are the same as 20. The old job stays as it is.

    \b
    Example:
      fornada extend 12 --epochs +20
    """
    from fornada.client import Client
    from fornada.client.submission import AT_ONCE

    with Client() as client, ended_by_sigterm():
        old = client.find_one(reference)
        job = client.extend(old, epochs, wait_for_worker=wait_for_worker)
        announce = Announcement(AT_ONCE, output)
        announce(client.recorded(job.id), job, f"goes on from job {old}")
        conclude(client, announce.jobs, output, follow=follow)
