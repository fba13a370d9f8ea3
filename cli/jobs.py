"""Commands that make jobs and wait for them: run, submit, wait."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fornada.cli.accepted import Announcement, conclude, conditions, told_terms
from fornada.cli.follow import answer, end_all, ended_by_sigterm, watch
from fornada.cli.options import (
    job_arguments,
    never_mind_option,
    output_options,
    seconds,
    spec_options,
    term_options,
)
from fornada.cli.output import Output
from fornada.cli.temporary_stack import TemporaryStack

if TYPE_CHECKING:
    from fornada.client.submission import Terms
    from fornada.settings import Settings
    from fornada.spec import Problem, Spec


@click.command()
@click.argument("spec", metavar="SPEC", type=click.Path(dir_okay=False, allow_dash=True))
@spec_options
@output_options(quiet="Print the job's id alone.")
def run(spec: str, overrides: Sequence[str], output: Output) -> None:
    """Train a spec here and now, and show the result.

    Uses the stack that is up. Where none is, starts the embedded one and stops it at the end; the
    history stays readable. Ctrl-C stops watching; a worker that this command started stops too,
    and its job waits in the queue for the next one.

    \b
    Example:
      fornada run specs/digits.yaml --set fit.epochs=5
    """
    from fornada.client import Client
    from fornada.client.submission import AT_ONCE

    with Client() as client, ended_by_sigterm():
        read = specs(client.settings, [spec], overrides)
        queues = sorted({"default", *(one.resources.queue for one in read)})
        # Before the stack comes up, which takes seconds.
        _look(client.settings, read, output)
        with TemporaryStack(client.settings, queues) as keeper:
            # Our own worker may not have said yet what it serves; the keeper sees to it.
            with Announcement(AT_ONCE, output) as announce:
                (job,) = client.submit_all(read, wait_for_worker=keeper.ours, accepted=announce)
            answer([watch(client, job.id, output, keeper=keeper)], output)


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="SPEC…",
    type=click.Path(dir_okay=False, allow_dash=True),
)
@spec_options
@term_options
@click.option(
    "--needed",
    is_flag=True,
    help="Where a job has trained the same spec on the same data, and its files are there, that "
    "one is meant.",
)
@never_mind_option
@click.option("--dry-run", is_flag=True, help="Check and show what would be queued, no more.")
@click.option("--wait", "waits", is_flag=True, help="Return when the jobs have ended.")
@click.option("-f", "--follow", is_flag=True, help="Show progress until the jobs have ended.")
@output_options(quiet="Print ids alone.")
def submit(  # noqa: PLR0913 - each is an option of its own
    *,
    files: Sequence[str],
    overrides: Sequence[str],
    terms: Mapping[str, Any],
    needed: bool,
    wait_for_worker: bool,
    dry_run: bool,
    waits: bool,
    follow: bool,
    output: Output,
) -> None:
    """Queue one job for each spec.

    All specs are checked before any is queued. A broker that is away costs a warning: the jobs
    are accepted, and workers hear of them when it is back. A job that no worker there is could
    ever run is refused.

    \b
    Examples:
      fornada submit specs/digits.yaml --tag owner=ana --priority 5
      id=$(fornada submit -q specs/digits.yaml) && fornada wait $id
      fornada submit specs/digits.yaml --after $id --not-before 22:00
    """
    from fornada.settings import Settings

    if terms["key"] is not None and len(files) > 1:
        raise click.UsageError("a key is of one job: give --key with one spec")
    if dry_run and needed:
        raise click.UsageError("a dry run does not look for --needed: leave one of them out")
    if dry_run:
        settings = Settings()
        read = specs(settings, files, overrides)
        _preview(read, _look(settings, read, output), _terms_alone(terms), output)
        return
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        read = specs(client.settings, files, overrides)
        told = told_terms(client, terms)
        with Announcement(told, output) as announce:
            jobs = client.submit_all(
                read,
                terms=told,
                needed=needed,
                wait_for_worker=wait_for_worker,
                warn=output.warn_of,
                accepted=announce,
            )
        conclude(client, jobs, output, follow=follow, waits=waits)


@click.command()
@job_arguments
@click.option(
    "--timeout", type=seconds, metavar="TIME", help="Give up after this time; the jobs go on."
)
@output_options(quiet="Print nothing; the exit code says it.")
def wait(references: Sequence[str], timeout: float | None, output: Output) -> None:
    """Wait until jobs have ended, showing their progress.

    Ends with the code of the first job that did not succeed. Ctrl-C stops waiting, not the jobs.

    \b
    Examples:
      fornada wait 12
      fornada wait 12-20 --timeout 2h
    """
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        end_all(client, client.find(references), output, output, timeout_s=timeout)


def specs(settings: "Settings", files: Sequence[str], overrides: Sequence[str]) -> list["Spec"]:
    """Read all files (`-`: stdin), so that every problem of every file is told at once.

    Raises:
        SpecProblems: with all of them, and with each file that cannot be read.
    """
    from fornada.spec.files import load_all

    return load_all(settings, files, overrides=overrides)


def _look(settings: "Settings", read: Sequence["Spec"], output: Output) -> list[list["Problem"]]:
    """What specs and their folders say and most likely do not mean, for each spec.

    Raises:
        SpecProblems: a job would fail on the folders, and its worker is on this machine.
    """
    from fornada.data import inspection

    found = inspection.before_submit(settings, read, output.warn_of)
    return [[*spec.warnings, *folders] for spec, folders in zip(read, found, strict=True)]


def _terms_alone(told: Mapping[str, Any]) -> "Terms":
    """The terms; the record is asked only for the jobs of `--after`."""
    from fornada.client import Client
    from fornada.client.submission import Terms

    if not told["after"]:
        return Terms(**{**told, "after": ()})
    with Client() as client:
        return told_terms(client, told)


def _preview(
    read: Sequence["Spec"],
    warnings: Sequence[Sequence["Problem"]],
    terms: "Terms",
    output: Output,
) -> None:
    documents = [
        {
            "name": spec.name,
            "queue": spec.resources.queue,
            "priority": spec.resources.priority,
            "tags": dict(spec.tags),
            "key": terms.key,
            "held": terms.held,
            "not_before": terms.not_before and terms.not_before.isoformat(),
            "after": list(terms.after),
            "spec_hash": spec.hash,
            "warnings": [warning.place for warning in its],
            "spec": spec.document(),
        }
        for spec, its in zip(read, warnings, strict=True)
    ]
    output.warn_each(warning for its in warnings for warning in its)
    # Our own stack's backend is ours; a server's is its workers', and doctor's to look at.
    if os.environ.get("KERAS_BACKEND") == "jax":
        from fornada.stack.health import JAX_ON_A_CPU

        for spec in read:
            if spec.convolves and spec.resources.gpus != 1:
                output.warn(f"{spec.name}: {JAX_ON_A_CPU}")
    if output.json:
        output.document(documents)
        return
    for one in [] if output.quiet else documents:
        said = f"would queue {one['name']} in {one['queue']}, priority {one['priority']}"
        output.line(", ".join([said, *conditions(terms)]))
