"""The jobs that a command acts on: named one by one, or all jobs with a tag."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fornada.cli import suggestions
from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.options import tag_option
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.states import JobState

# How many jobs one query returns while the jobs with a tag are collected.
PAGE = 500
Command = Callable[..., Any]


def targets(command: Command) -> Command:
    """Add the jobs that a command acts on: the command gets `references` and `tags`."""
    named = click.argument(
        "references", nargs=-1, metavar="[JOB…]", shell_complete=suggestions.jobs
    )(command)
    return tag_option(named, help="All jobs with this tag that the command can act on.")


def chosen(
    client: "Client",
    references: Sequence[str],
    tags: Iterable[tuple[str, str]],
    states: Sequence["JobState"],
) -> list[int]:
    """The ids of the jobs that a person named.

    Args:
        client: finds the jobs.
        references: ids, uid prefixes, ranges, `@last`.
        tags: choose the jobs that have all of these tags.
        states: choose by tag only jobs in these states; the command cannot act on others.
    Raises:
        UsageError: the person gave neither references nor tags, or both.
        JobNotFound: a reference names no job.
    """
    wanted = dict(tags)
    if references and wanted:
        raise click.UsageError("name jobs or a tag, not both")
    if not references and not wanted:
        raise click.UsageError("name jobs (12, 12-20, @last), or a tag: --tag owner=ana")
    if references:
        return client.find(references)
    return sorted(_tagged(client, wanted, states))


def each(
    ids: Iterable[int],
    act: Callable[[int], "JobState"],
    output: Output,
    *,
    nothing: str,
    describe: "Callable[[int, JobState], str | None]" = lambda job_id, state: None,
) -> None:
    """Act on every job and report each; report the refusals at the end.

    Args:
        ids: the ids of the jobs.
        act: does the change to one job and returns its new state.
        output: how to answer.
        nothing: printed when `ids` is empty; it is no error that no job has a tag (any more).
        describe: what to print about a job, from its id and state; None prints the state.
    Raises:
        ExitWith: some jobs refused the change; all others were changed.
    """
    from fornada.db.errors import WrongState

    refused: list[str] = []
    changed: list[Mapping[str, object]] = []
    for job_id in ids:
        try:
            state = act(job_id)
        except WrongState as error:
            refused.append(str(error))
            continue
        changed.append({"id": job_id, "state": state.value})
        if output.quiet:
            output.line(str(job_id))
        elif not output.json:
            output.line(f"job {job_id}: {describe(job_id, state) or WORDS.get(state, state)}")
    if output.json:
        output.document(changed)
    if refused:
        raise ExitWith(ExitCode.WRONG_STATE, "\n".join(refused))
    if not changed:
        output.note(nothing)


# Printed instead of a state. After `cancel` a job may still be running: then the state does not say
# what the command did. No other command leaves a job running.
WORDS: Mapping[str, str] = {"running": "asked to stop"}


def _tagged(
    client: "Client", tags: Mapping[str, str], states: Sequence["JobState"]
) -> Iterator[int]:
    after: str | None = None
    while True:
        page = client.jobs(states=states, tags=tags, limit=PAGE, after=after)
        yield from (row["id"] for row in page.rows)
        if page.next is None:
            return
        after = page.next
