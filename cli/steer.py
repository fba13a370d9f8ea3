"""Commands that steer jobs: hold, release, move, retry, cancel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fornada.cli import suggestions
from fornada.cli.options import output_options, seconds
from fornada.cli.output import Output
from fornada.cli.reasons import why_it_waits
from fornada.cli.targets import chosen, each, targets
from fornada.db.states import PRIORITIES

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.states import JobState

Tags = Sequence[tuple[str, str]]


@click.command()
@targets
@output_options(quiet="Print only the ids.")
def hold(references: Sequence[str], tags: Tags, output: Output) -> None:
    """Keep waiting jobs from starting.

    They wait until `fornada release`. A job that is already held stays held.

    \b
    Examples:
      fornada hold 12
      fornada hold --tag sweep=lr
    """
    from fornada.client import Client
    from fornada.db.states import JobState

    with Client() as client:
        ids = chosen(client, references, tags, [JobState.QUEUED, JobState.HELD])
        each(ids, client.hold, output, nothing="no waiting job has this tag")


@click.command()
@targets
@output_options(quiet="Print only the ids.")
def release(references: Sequence[str], tags: Tags, output: Output) -> None:
    """Let held jobs start.

    A job that waits for other jobs (`fornada submit --after`) stays held until they have ended; the
    command names them.

    \b
    Examples:
      fornada release 12
      fornada release --tag sweep=lr
    """
    from fornada.client import Client
    from fornada.db.states import JobState

    with Client() as client:
        ids = chosen(client, references, tags, [JobState.HELD])
        each(
            ids,
            client.release,
            output,
            nothing="no held job has this tag",
            describe=lambda job_id, state: _still_held(client, job_id, state),
        )
        _warn_without_stack(client, output)


def _still_held(client: "Client", job_id: int, state: "JobState") -> str | None:
    """Why a released job is still held: other jobs have to end first. None if it is not held."""
    if state != "held":
        return None
    why = why_it_waits(next(client.follow(job_id)))
    return None if why is None else f"held, waits {why}"


@click.command()
@targets
@click.option(
    "--priority",
    type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]),
    help="New priority; jobs with a higher priority run first.",
)
@click.option("--queue", metavar="QUEUE", help="New queue.", shell_complete=suggestions.queues)
@click.option("--top", is_flag=True, help="Put the jobs before all other jobs of the queue.")
@output_options(quiet="Print only the ids.")
def move(  # noqa: PLR0913 - one argument per option
    *,
    references: Sequence[str],
    tags: Tags,
    priority: int | None,
    queue: str | None,
    top: bool,
    output: Output,
) -> None:
    """Give waiting jobs another place in the queue, or another queue.

    With --top, several jobs keep the order in which you name them.

    \b
    Examples:
      fornada move 12 --top
      fornada move 12-20 --queue night --priority -5
    """
    from fornada.client import Client
    from fornada.db.states import JobState
    from fornada.spec.kinds.text import is_label

    if priority is None and queue is None and not top:
        raise click.UsageError("say where to move it: --top, --priority N or --queue QUEUE")
    if priority is not None and top:
        raise click.UsageError("--top sets the priority: leave --priority out")
    if queue is not None and not is_label(queue):
        raise click.BadParameter(
            f'"{queue}" is not a valid queue name; for example night', param_hint="--queue"
        )

    with Client() as client:
        ids = chosen(client, references, tags, [JobState.QUEUED, JobState.HELD])
        # Each job goes above the one before it, so move the last one first to keep their order.
        ids = ids[::-1] if top else ids
        each(
            ids,
            lambda job_id: client.move(job_id, priority=priority, queue=queue, top=top),
            output,
            nothing="no waiting job has this tag",
            describe=lambda job_id, state: "moved",
        )
        if queue is not None and not any(queue in one["queues"] for one in client.workers()):
            output.note(f"no worker serves queue {queue} yet; see fornada worker ls")


@click.command()
@targets
@click.option(
    "--fresh", is_flag=True, help="Start again at the first epoch, not at the last training state."
)
@output_options(quiet="Print only the ids.")
def retry(references: Sequence[str], tags: Tags, fresh: bool, output: Output) -> None:
    """Queue failed or cancelled jobs again.

    A job continues from its last good training state, if it has one. If its images have changed
    since, it begins at the first epoch; with the embedded stack the command warns of that.

    \b
    Examples:
      fornada retry 12
      fornada retry 12 --fresh
    """
    from fornada.client import Client
    from fornada.db.states import JobState

    with Client() as client:
        ids = chosen(client, references, tags, [JobState.FAILED, JobState.CANCELLED])
        each(
            ids,
            lambda job_id: _retry(client, job_id, output, fresh=fresh),
            output,
            nothing="no failed or cancelled job has this tag",
        )
        _warn_without_stack(client, output)


def _retry(client: "Client", job_id: int, output: Output, *, fresh: bool) -> "JobState":
    state = client.retry(job_id, fresh=fresh)
    if not fresh and (changed := client.changed_images(job_id)):
        output.warn(changed)
    retried = next(event for event in reversed(client.events(job_id)) if event["kind"] == "retried")
    if waived := (retried["detail"] or {}).get("waived"):
        jobs = ", ".join(map(str, waived))
        output.warn(f"job {job_id} no longer waits for what has failed or was cancelled: {jobs}")
    return state


def _warn_without_stack(client: "Client", output: Output) -> None:
    """Say that nothing runs here, where a job has been put into the queue."""
    from fornada.client.wake_ups import NO_STACK
    from fornada.stack import stack_lock

    if client.settings.embedded and not stack_lock.running(client.settings):
        output.warn(NO_STACK)


def _reason(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from fornada.client.submission import LONGEST_REASON, problem_of

    if value is not None and (why := problem_of(value, LONGEST_REASON)):
        raise click.BadParameter(f"a reason is one line: {why}")
    return value


@click.command()
@targets
@click.option("--reason", callback=_reason, help="Recorded in the job's history: one line.")
@click.option(
    "--grace", type=seconds, metavar="TIME", help="How long a running job may take to stop."
)
@click.option("--force", is_flag=True, help="Kill the job's trainer at once and save nothing.")
@output_options(quiet="Print only the ids.")
def cancel(  # noqa: PLR0913 - one argument per option
    *,
    references: Sequence[str],
    tags: Tags,
    reason: str | None,
    grace: float | None,
    force: bool,
    output: Output,
) -> None:
    """Cancel jobs that wait or run.

    A waiting job is cancelled at once. A running job is asked to stop: it saves its state and keeps
    its best model. A job that is already cancelled stays cancelled.

    \b
    Examples:
      fornada cancel 12
      fornada cancel 12-20 --reason "wrong data"
      fornada cancel --tag sweep=lr --grace 1m
    """
    from fornada.client import Client
    from fornada.db.states import LIVE_STATES

    if force and grace is not None:
        raise click.UsageError("--force kills the job at once: leave --grace out")
    with Client() as client:
        ids = chosen(client, references, tags, sorted(LIVE_STATES))
        each(
            ids,
            lambda job_id: client.cancel(job_id, reason=reason, grace_s=grace, force=force),
            output,
            nothing="no waiting or running job has this tag",
        )
