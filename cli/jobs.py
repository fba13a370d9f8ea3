"""Commands that make jobs and move them: run, submit, wait, cancel."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cli.exits import Exit, ExitWith
from cli.keeper import Keeper
from cli.options import job_arguments, output_options, seconds, spec_options
from cli.output import Output
from cli.progress import WHY
from cli.watch import answer, end_all, ended_by_sigterm, watch

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.settings import Settings
    from fornada.spec import Spec
    from fornada.submission import Submitted


# Why a job waits that will not start by waiting alone.
NEVER_SO_FAR = ("NoWorker", "NeedsGpu")


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

    with Client() as client, ended_by_sigterm():
        read = specs(client.settings, [spec], overrides)
        queues = sorted({"default", *(one.resources.queue for one in read)})
        with Keeper(client.settings, queues) as keeper:
            (job,) = submit_all(client, read, output)
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
@click.option("--dry-run", is_flag=True, help="Check and show what would be queued, no more.")
@click.option("--wait", "waits", is_flag=True, help="Return when the jobs have ended.")
@click.option("-f", "--follow", is_flag=True, help="Show progress until the jobs have ended.")
@output_options(quiet="Print ids alone.")
def submit(  # noqa: PLR0913 - each is an option of its own
    *,
    files: Sequence[str],
    overrides: Sequence[str],
    dry_run: bool,
    waits: bool,
    follow: bool,
    output: Output,
) -> None:
    """Queue one job for each spec.

    All specs are checked before any is queued. A broker that is away costs a warning: the jobs
    are accepted, and workers hear of them when it is back.

    \b
    Examples:
      fornada submit specs/digits.yaml --tag owner=ana --priority 5
      id=$(fornada submit -q specs/digits.yaml) && fornada wait $id
    """
    from fornada.settings import Settings

    if dry_run:
        _preview(specs(Settings(), files, overrides), output)
        return
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        read = specs(client.settings, files, overrides)
        accepted = submit_all(client, read, output, announce=not output.json)
        if not (waits or follow):
            if output.json:
                output.document([asdict(job) for job in accepted])
            elif not accepted[-1].warning:
                _note_unserved(client, accepted, output)
            return
        progress = Output(quiet=output.quiet or not follow, color=output.color)
        end_all(client, [job.id for job in accepted], progress, output)


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


@click.command()
@job_arguments
@click.option("--reason", help="Said in the job's history.")
@output_options(quiet="Print ids alone.")
def cancel(references: Sequence[str], reason: str | None, output: Output) -> None:
    """Cancel jobs, at once or within seconds.

    A job that waits is cancelled at once; one that runs is asked to stop, and keeps its best model.

    \b
    Examples:
      fornada cancel 12
      fornada cancel 12-20 --reason "wrong data"
    """
    from db.errors import WrongState
    from fornada.client import Client

    refused: list[WrongState] = []
    done: list[dict[str, Any]] = []
    with Client() as client:
        for job_id in client.find(references):
            try:
                state = client.cancel(job_id, reason=reason)
            except WrongState as error:
                refused.append(error)
                continue
            done.append({"id": job_id, "state": state.value})
            if output.quiet:
                output.line(str(job_id))
            elif not output.json:
                asked = "cancelled" if state == "cancelled" else "asked to stop"
                output.line(f"job {job_id}: {asked}")
    if output.json:
        output.document(done)
    if refused:
        raise ExitWith(Exit.WRONG_STATE, "\n".join(map(str, refused)))


def specs(settings: "Settings", files: Sequence[str], overrides: Sequence[str]) -> list["Spec"]:
    """Read all files (`-`: stdin), so that every problem of every file is told at once.

    Raises:
        SpecProblems: with all of them.
        ExitWith: a file cannot be read.
    """
    from fornada.sources import load_all

    try:
        return load_all(settings, files, overrides=overrides)
    except OSError as error:
        raise ExitWith(Exit.NOT_FOUND, f"{error.filename}: {error.strerror}") from error


def submit_all(
    client: "Client", read: Sequence["Spec"], output: Output, *, announce: bool = True
) -> list["Submitted"]:
    """Queue all specs and say so; on one machine, also what folders its worker will miss."""
    from fornada import examine

    if client.settings.embedded:
        for spec in read:
            for missing in examine.absent(spec, client.settings.data_root_path):
                output.warn(missing)
    accepted = []
    warned = False
    for spec, job in zip(read, client.submit_all(read), strict=True):
        accepted.append(job)
        if output.quiet and announce:
            output.line(str(job.id))
        elif announce:
            output.note(f"job {job.id}: {spec.name}, in queue {spec.resources.queue}")
        if job.warning and not warned:
            output.warn(job.warning)
            warned = True
    return accepted


def _note_unserved(client: "Client", accepted: Sequence["Submitted"], output: Output) -> None:
    """Say which jobs no worker there is would take: a queue may be misspelt."""
    waits = {row["id"]: row["waits"] for row in client.alive()}
    for job in accepted:
        if waits.get(job.id) in NEVER_SO_FAR:
            output.note(f"job {job.id} waits: {WHY[waits[job.id]]}; see fornada worker ls")


def _preview(read: Sequence["Spec"], output: Output) -> None:
    documents = [
        {
            "name": spec.name,
            "queue": spec.resources.queue,
            "priority": spec.resources.priority,
            "tags": dict(spec.tags),
            "spec_hash": spec.hash,
            "spec": spec.document(),
        }
        for spec in read
    ]
    if output.json:
        output.document(documents)
        return
    for one in documents:
        output.line(f"would queue {one['name']} in {one['queue']}, priority {one['priority']}")
