"""Commands that move jobs: hold, release, move, retry, cancel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fornada.cli.options import output_options, seconds
from fornada.cli.output import Output
from fornada.cli.reasons import sentence
from fornada.cli.targets import chosen, each, targets
from fornada.db.states import PRIORITIES

if TYPE_CHECKING:
    from fornada.client import Client
    from fornada.db.states import JobState

Tags = Sequence[tuple[str, str]]


@click.command()
@targets
@output_options(quiet="Print ids alone.")
def hold(references: Sequence[str], tags: Tags, output: Output) -> None:
    """Keep jobs that wait from starting.

    They stay until `fornada release`. A job that is held already stays so.

    \b
    Examples:
      fornada hold 12
      fornada hold --tag sweep=lr
    """
    from fornada.client import Client
    from fornada.db.states import JobState

    with Client() as client:
        ids = chosen(client, references, tags, [JobState.QUEUED, JobState.HELD])
        each(ids, client.hold, output, nothing="no job that waits carries this tag")


@click.command()
@targets
@output_options(quiet="Print ids alone.")
def release(references: Sequence[str], tags: Tags, output: Output) -> None:
    """Let held jobs go.

    A job that waits for others (`submit --after`) stays held until they have ended; the answer
    names them.

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
            nothing="no held job carries this tag",
            said=lambda job_id, state: _still_held(client, job_id, state),
        )


def _still_held(client: "Client", job_id: int, state: "JobState") -> str | None:
    """Why a job that was released is held still: others have to end."""
    if state != "held":
        return None
    why = sentence(next(client.follow(job_id)).waits)
    return None if why is None else f"held, waits {why}"


@click.command()
@targets
@click.option(
    "--priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]), help="Higher runs first."
)
@click.option("--queue", metavar="QUEUE", help="Queue to go to.")
@click.option("--top", is_flag=True, help="Before all others of the queue.")
@output_options(quiet="Print ids alone.")
def move(  # noqa: PLR0913 - each is an option of its own
    *,
    references: Sequence[str],
    tags: Tags,
    priority: int | None,
    queue: str | None,
    top: bool,
    output: Output,
) -> None:
    """Give jobs that wait another place in the queue, or another queue.

    Several jobs that go to the top keep the order in which they are named.

    \b
    Examples:
      fornada move 12 --top
      fornada move 12-20 --queue night --priority -5
    """
    from fornada.client import Client
    from fornada.db.states import JobState
    from fornada.spec.kinds.text import is_label

    if priority is None and queue is None and not top:
        raise click.UsageError("say where to: --top, --priority N or --queue QUEUE")
    if priority is not None and top:
        raise click.UsageError("--top is a priority of its own: leave --priority out")
    if queue is not None and not is_label(queue):
        raise click.BadParameter(
            f'"{queue}" names no queue; for example night', param_hint="--queue"
        )

    with Client() as client:
        ids = chosen(client, references, tags, [JobState.QUEUED, JobState.HELD])
        # The last to go to the top is the first there.
        ids = ids[::-1] if top else ids
        each(
            ids,
            lambda job_id: client.move(job_id, priority=priority, queue=queue, top=top),
            output,
            nothing="no job that waits carries this tag",
            said=lambda job_id, state: "moved",
        )
        if queue is not None and not any(queue in one["queues"] for one in client.workers()):
            output.note(f"no worker serves queue {queue} yet; see fornada worker ls")


@click.command()
@targets
@click.option("--fresh", is_flag=True, help="Begin at the first epoch, not at the last state.")
@output_options(quiet="Print ids alone.")
def retry(references: Sequence[str], tags: Tags, fresh: bool, output: Output) -> None:
    """Queue failed or cancelled jobs again.

    A job goes on from its last good training state, where it has one.

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
            lambda job_id: client.retry(job_id, fresh=fresh),
            output,
            nothing="no failed or cancelled job carries this tag",
        )


@click.command()
@targets
@click.option("--reason", help="Said in the job's history.")
@click.option("--grace", type=seconds, metavar="TIME", help="How long it may take to stop.")
@click.option("--force", is_flag=True, help="Kill its trainer at once, with nothing saved.")
@output_options(quiet="Print ids alone.")
def cancel(  # noqa: PLR0913 - each is an option of its own
    *,
    references: Sequence[str],
    tags: Tags,
    reason: str | None,
    grace: float | None,
    force: bool,
    output: Output,
) -> None:
    """Cancel jobs, at once or within seconds.

    A job that waits is cancelled at once; one that runs is asked to stop, saves its state and keeps
    its best model. A job that is cancelled already stays so.

    \b
    Examples:
      fornada cancel 12
      fornada cancel 12-20 --reason "wrong data"
      fornada cancel --tag sweep=lr --grace 1m
    """
    from fornada.client import Client
    from fornada.db.states import LIVE_STATES

    if force and grace is not None:
        raise click.UsageError("--force leaves no time: leave --grace out")
    with Client() as client:
        ids = chosen(client, references, tags, sorted(LIVE_STATES))
        each(
            ids,
            lambda job_id: client.cancel(job_id, reason=reason, grace_s=grace, force=force),
            output,
            nothing="no job that waits or runs carries this tag",
        )
