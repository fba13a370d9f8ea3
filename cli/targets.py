"""The jobs that a command moves: named one by one, or all that carry a tag."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fornada.cli.exit_codes import ExitCode, ExitWith
from fornada.cli.options import tag_option
from fornada.cli.output import Output

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.states import JobState

# Rows of a page while the jobs of a tag are gathered.
PAGE = 500
Command = Callable[..., Any]


def targets(command: Command) -> Command:
    """Add the jobs a command moves: `references`, and `tags` for all jobs that carry them."""
    named = click.argument("references", nargs=-1, metavar="[JOB…]")(command)
    return tag_option(named, help="All jobs with this tag that the command can move.")


def chosen(
    client: "Client",
    references: Sequence[str],
    tags: Iterable[tuple[str, str]],
    states: Sequence["JobState"],
) -> list[int]:
    """The ids of what a person named.

    Args:
        client: to ask.
        references: ids, uid prefixes, ranges, `@last`.
        tags: only jobs that carry all of these.
        states: that the command can move a job from: of a tag, only such jobs are meant.
    Raises:
        UsageError: nothing was named, or both.
        JobNotFound: a reference names no job.
    """
    wanted = dict(tags)
    if references and wanted:
        raise click.UsageError("name jobs, or a tag of theirs, not both")
    if not references and not wanted:
        raise click.UsageError("name jobs (12, 12-20, @last), or a tag of theirs: --tag owner=ana")
    if references:
        return client.find(references)
    return sorted(_tagged(client, wanted, states))


def each(
    ids: Iterable[int],
    move: Callable[[int], "JobState"],
    output: Output,
    *,
    nothing: str,
    said: "Callable[[int, JobState], str | None]" = lambda job_id, state: None,
) -> None:
    """Move every job, say what became of each, and refuse at the end.

    Args:
        ids: of the jobs.
        move: does it, and returns the job's state.
        output: how to answer.
        said: what to say of each, by its id and state; None for the state.
        nothing: said when there is no job: a tag that nothing carries (any more) is no error.
    Raises:
        ExitWith: some could not be moved; all others were.
    """
    from fornada.db.errors import WrongState

    refused: list[str] = []
    moved: list[Mapping[str, object]] = []
    for job_id in ids:
        try:
            state = move(job_id)
        except WrongState as error:
            refused.append(str(error))
            continue
        moved.append({"id": job_id, "state": state.value})
        if output.quiet:
            output.line(str(job_id))
        elif not output.json:
            output.line(f"job {job_id}: {said(job_id, state) or WORDS.get(state, state)}")
    if output.json:
        output.document(moved)
    if refused:
        raise ExitWith(ExitCode.WRONG_STATE, "\n".join(refused))
    if not moved:
        output.note(nothing)


# A state that says too little of what was just done.
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
