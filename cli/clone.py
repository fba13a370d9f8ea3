"""Commands that make a new job from an old one: clone, extend."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from fornada.cli.accepted import Announcement, conclude, terms_from_options
from fornada.cli.follow import ended_by_sigterm
from fornada.cli.options import (
    job_argument,
    output_options,
    spec_options,
    term_options,
    wait_for_worker_option,
)
from fornada.cli.output import Output


@click.command()
@job_argument
@spec_options
@term_options
@wait_for_worker_option
@click.option("-f", "--follow", is_flag=True, help="Show progress until the job has ended.")
@output_options(quiet="Print only the new job's id.")
def clone(  # noqa: PLR0913 - one argument per option
    *,
    reference: str,
    overrides: Sequence[str],
    terms: Mapping[str, Any],
    wait_for_worker: bool,
    follow: bool,
    output: Output,
) -> None:
    """Queue a new job from the spec of an old one, with changes.

    The spec is the one recorded with the old job. The changed spec is checked like a spec file.

    \b
    Examples:
      fornada clone 12 --set fit.epochs=50
      fornada clone @last --set data.seed=2 --tag try=2
    """
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        spec = client.recorded(reference, overrides=overrides)
        resolved = terms_from_options(client, terms)
        with Announcement(resolved, output) as announce:
            jobs = client.submit_all(
                [spec],
                terms=resolved,
                wait_for_worker=wait_for_worker,
                warn=output.warn_of,
                accepted=announce,
            )
        conclude(client, jobs, output, follow=follow)


def _more_epochs(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    if not re.fullmatch(r"\+[1-9]\d{0,8}", value):
        raise click.BadParameter(
            f'"{value}"; expected a plus and a number of epochs, for example --epochs +20'
        )
    return int(value)


@click.command()
@job_argument
@click.option(
    "--epochs",
    required=True,
    metavar="+N",
    callback=_more_epochs,
    help="How many more epochs to train.",
)
@wait_for_worker_option
@click.option("-f", "--follow", is_flag=True, help="Show progress until the job has ended.")
@output_options(quiet="Print only the new job's id.")
def extend(
    *, reference: str, epochs: int, wait_for_worker: bool, follow: bool, output: Output
) -> None:
    """Queue a new job that continues training where a finished job ended.

    10 epochs and 10 more give the same result as 20. The old job stays as it is.

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
        announce(client.recorded(job.id), job, f"continues job {old}")
        conclude(client, announce.jobs, output, follow=follow)
