"""Commands that make jobs, and wait for jobs: run, submit, wait."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from fornada.absolute_folders import absolute
from fornada.cli.accepted import Announcement, conclude, conditions, terms_from_options
from fornada.cli.follow import Interrupted, answer, end_all, ended_by_sigterm, follow, stop
from fornada.cli.homes import require_writable
from fornada.cli.options import (
    ONLY_PROBLEMS,
    job_arguments,
    output_options,
    seconds,
    spec_options,
    term_options,
    wait_for_worker_option,
)
from fornada.cli.output import Output
from fornada.cli.temporary_stack import TemporaryStack

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.client.submission import Submitted, Terms
    from fornada.settings import Settings
    from fornada.spec import Problem, Spec


@click.command()
@click.argument("spec", metavar="SPEC", type=click.Path(allow_dash=True))
@spec_options
@output_options(quiet="Print only the job's id.")
def run(spec: str, overrides: Sequence[str], output: Output) -> None:
    """Train a spec here and now, and show the result.

    The job goes before all that wait in its queue and have not begun. Uses the stack that is
    already up. If no stack is up, it starts the embedded stack and stops it at the end; the history
    stays readable. Ctrl-C, SIGTERM and a closed terminal stop the job, which saves its training
    state: `fornada retry` goes on with it.

    \b
    Example:
      fornada run specs/digits.yaml --set fit.epochs=5
    """
    from fornada.settings import Settings

    settings = Settings()
    require_writable(settings)
    read = specs(settings, [spec], overrides)
    with ended_by_sigterm(), _stack_for(settings, read, output) as keeper:
        # Imported while the worker starts.
        from fornada.client import Client
        from fornada.client.submission import AT_ONCE

        with Client(settings) as client:
            # A worker that we started may not have registered its queues yet, so do not refuse
            # the job for lack of a worker. `keeper` refuses it later if no worker can run it.
            own: list[int] = []
            try:
                with Announcement(AT_ONCE, output) as announce:

                    def accepted(spec: "Spec", job: "Submitted") -> None:
                        own.append(job.id)
                        _put_first(client, job.id)
                        announce(spec, job)

                    client.submit_all(
                        read,
                        wait_for_worker=keeper.ours,
                        warn=output.warn_of,
                        accepted=accepted,
                    )
                document = follow(client, own[0], output, keeper=keeper)
            except Interrupted as interrupted:
                if not own:
                    raise
                document = stop(client, own[0], output, keeper, by=interrupted.by)
            answer([document], output)
            if keeper.ours:
                _note_waiting(client, output)


def _put_first(client: "Client", job_id: int) -> None:
    """Let the job of `run` start before the jobs that an earlier stack has left in its queue."""
    from fornada.db.errors import WrongState

    # On a server other people wait too.
    if client.settings.embedded:
        # It may have begun already.
        with suppress(WrongState):
            client.move(job_id, top=True)


def _note_waiting(client: "Client", output: Output) -> None:
    """Say that jobs wait, and that nothing trains them when the stack of `run` has ended."""
    # One may have begun since the job of `run` ended. It goes back to its queue.
    waiting = sum(job["state"] in ("queued", "running") for job in client.alive())
    if waiting and not output.quiet and not output.json:
        jobs = "1 job still waits" if waiting == 1 else f"{waiting} jobs still wait"
        output.note(f"{jobs} in the queue of this home: fornada up trains what waits")


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="SPEC…",
    type=click.Path(allow_dash=True),
)
@spec_options
@term_options
@click.option(
    "--needed",
    is_flag=True,
    help="If a job has already trained the same spec on the same data, and its files still exist, "
    "return that job instead of a new one.",
)
@wait_for_worker_option
@click.option(
    "--dry-run", is_flag=True, help="Check, and show what would be queued; queue nothing."
)
@click.option("--wait", "waits", is_flag=True, help="Return when the jobs have ended.")
@click.option("-f", "--follow", is_flag=True, help="Show progress until the jobs have ended.")
@output_options(quiet="Print only the ids.")
def submit(  # noqa: PLR0913 - one argument per option
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

    All specs are checked before any job is queued. If the broker is down, the command prints a
    warning: the jobs are accepted, and workers learn of them when the broker is back. A job that
    no existing worker could ever run is refused.

    \b
    Examples:
      fornada submit specs/digits.yaml --tag owner=ana --priority 5
      id=$(fornada submit -q specs/digits.yaml) && fornada wait $id
      fornada submit specs/digits.yaml --after $id --not-before 22:00
    """
    from fornada.settings import Settings

    if terms["key"] is not None and len(files) > 1:
        raise click.UsageError("a key names one job: give --key with one spec only")
    if dry_run and needed:
        raise click.UsageError("--dry-run and --needed do not work together: leave one of them out")
    if dry_run:
        settings = Settings()
        read = specs(settings, files, overrides)
        warnings = _inspect(settings, read, output)
        _preview(read, warnings, _terms_of_dry_run(terms), settings, output)
        return
    from fornada.client import Client

    with Client() as client, ended_by_sigterm():
        read = specs(client.settings, files, overrides)
        resolved = terms_from_options(client, terms)
        with Announcement(resolved, output) as announce:
            jobs = client.submit_all(
                read,
                terms=resolved,
                needed=needed,
                wait_for_worker=wait_for_worker,
                warn=output.warn_of,
                accepted=announce,
            )
        conclude(client, jobs, output, follow=follow, waits=waits)


@click.command()
@job_arguments
@click.option(
    "--timeout", type=seconds, metavar="TIME", help="Give up after this time; the jobs continue."
)
@output_options(quiet=ONLY_PROBLEMS)
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


@contextmanager
def _stack_for(
    settings: "Settings", read: Sequence["Spec"], output: Output
) -> Iterator[TemporaryStack]:
    """Keep a stack up for the job of `run`. The worker starts while the data is checked.

    Raises:
        SpecProblems: a job would fail on its data. This is said even if no stack can start.
        StackError, NoKeras: the stack cannot start.
    """
    from fornada.errors import NoKeras, StackError

    queues = sorted({"default", *(spec.resources.queue for spec in read)})
    with ExitStack() as entered:
        try:
            keeper = entered.enter_context(TemporaryStack(settings, queues, output))
        except (StackError, NoKeras):
            _inspect(settings, read, output)
            raise
        yield keeper


def specs(settings: "Settings", files: Sequence[str], overrides: Sequence[str]) -> list["Spec"]:
    """Read all spec files (`-` is stdin), and report every problem of every file at once.

    Raises:
        SpecProblems: holds all problems, and each file that cannot be read.
    """
    from fornada.spec.files import STDIN, load_all

    if STDIN in files and sys.stdin.isatty():
        click.echo("Reading a spec from this terminal; Ctrl-D ends it.", err=True)
    return load_all(settings, files, overrides=overrides)


def _inspect(settings: "Settings", read: Sequence["Spec"], output: Output) -> list[list["Problem"]]:
    """The warnings of each spec: likely mistakes in the spec itself and in its folders.

    Raises:
        SpecProblems: a job would fail on the folders, and its worker is on this machine.
    """
    from fornada.data import inspection

    found = inspection.before_submit(settings, read, output.warn_of)
    return [[*spec.warnings, *folders] for spec, folders in zip(read, found, strict=True)]


def _terms_of_dry_run(options: Mapping[str, Any]) -> "Terms":
    """Make the terms; connect to the database only when `--after` names jobs."""
    from fornada.client import Client
    from fornada.client.submission import Terms

    if not options["after"]:
        return Terms(**{**options, "after": ()})
    with Client() as client:
        return terms_from_options(client, options)


def _preview(
    read: Sequence["Spec"],
    warnings: Sequence[Sequence["Problem"]],
    terms: "Terms",
    settings: "Settings",
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
            "warnings": [warning.place for warning in spec_warnings],
            "spec": absolute(spec.document(), settings.data_root_path),
        }
        for spec, spec_warnings in zip(read, warnings, strict=True)
    ]
    output.warn_each(warning for spec_warnings in warnings for warning in spec_warnings)
    # A worker of the embedded stack takes KERAS_BACKEND from this environment. The backend of a
    # server's workers is not known here; `fornada doctor` looks at it.
    if os.environ.get("KERAS_BACKEND") == "jax":
        from fornada.stack.health import JAX_ON_A_CPU

        for spec in read:
            if spec.convolves and spec.resources.gpus != 1:
                output.warn(f"{spec.name}: {JAX_ON_A_CPU}")
    if output.json:
        output.document(documents)
        return
    for job in [] if output.quiet else documents:
        line = f"would queue {job['name']} in {job['queue']}, priority {job['priority']}"
        output.line(", ".join([line, *conditions(terms)]))
