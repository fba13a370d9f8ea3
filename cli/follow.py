"""Watch jobs until they end. Ctrl-C stops watching; only `fornada run` then stops its job too."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from fornada.cli.exit_codes import ExitCode, ExitWith, of_job
from fornada.cli.output import Output
from fornada.cli.progress import shown
from fornada.cli.result import report
from fornada.db.errors import WrongState
from fornada.db.states import JobState

if TYPE_CHECKING:
    from fornada.cli.temporary_stack import TemporaryStack
    from fornada.client import Client, Progress
    from fornada.db.answers import JobAnswer


def watch(
    client: "Client",
    job_id: int,
    output: Output,
    *,
    timeout_s: float | None = None,
) -> "JobAnswer":
    """Show a job's progress until its end; Ctrl-C stops watching.

    Args:
        client: reads the job.
        job_id: the job's id.
        output: how to show the progress.
        timeout_s: how long to watch at most, in seconds; None for no limit.
    Returns:
        The job's last document.
    Raises:
        ExitWith: the person pressed Ctrl-C; the job continues.
        WaitTimedOut: the job has not ended in time; it continues.
    """
    outlook = "continues"

    def remember(progress: "Progress") -> None:
        nonlocal outlook
        outlook = progress.outlook

    try:
        return follow(client, job_id, output, timeout_s=timeout_s, seen=remember)
    except KeyboardInterrupt:
        raise ExitWith(
            ExitCode.INTERRUPTED,
            f"Stopped watching; job {job_id} {outlook}.\n"
            f"  Watch it again: fornada wait {job_id}    Stop it: fornada cancel {job_id}",
        ) from None


class Interrupted(KeyboardInterrupt):
    """A signal that ends a command in order.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def by(self) -> str:
        """What a person calls it: `Ctrl-C`, `a closed terminal`, `SIGTERM`."""
        names = {signal.SIGINT: "Ctrl-C", signal.SIGHUP: "a closed terminal (SIGHUP)"}
        return names.get(signal.Signals(self.number)) or signal.Signals(self.number).name


def stop(
    client: "Client", job_id: int, output: Output, keeper: "TemporaryStack", *, by: str
) -> "JobAnswer":
    """Cancel the job of a command that was interrupted, and show its progress until its end.

    Args:
        client: cancels and reads the job.
        job_id: the job that this command has submitted.
        output: how to show the progress.
        keeper: the stack on which the job runs.
        by: what interrupted the command, for the history of the job: `Ctrl-C`.
    Returns:
        The job's last document, if the job has ended by itself.
    Raises:
        ExitWith: the job is cancelled. Or the person pressed Ctrl-C again, and this command does
            not wait until the job is cancelled.
    """
    output.warn(
        f"stopping job {job_id}, which saves its training state; "
        "press Ctrl-C again to stop waiting for it"
    )
    hint = f"  Go on with it: fornada retry {job_id}" + (
        ", and then fornada up" if keeper.ours else ""
    )
    try:
        # WrongState: the job has ended by itself before it could be cancelled. `follow` shows how.
        with suppress(WrongState):
            client.cancel(job_id, reason=f"{by} in fornada run")
        job = follow(client, job_id, output, keeper=keeper)
    except KeyboardInterrupt:
        raise ExitWith(ExitCode.INTERRUPTED, f"Job {job_id} will be cancelled.\n{hint}") from None
    if job["state"] != JobState.CANCELLED:
        return job
    raise ExitWith(
        ExitCode.INTERRUPTED,
        f"Job {job_id} is cancelled after {job['epochs_run']} epochs.\n{hint}",
    )


def follow(  # noqa: PLR0913 - what is done at each look
    client: "Client",
    job_id: int,
    output: Output,
    *,
    keeper: "TemporaryStack | None" = None,
    timeout_s: float | None = None,
    seen: "Callable[[Progress], None]" = lambda progress: None,
) -> "JobAnswer":
    """Show a job's progress until its end, as `watch` does, but raise KeyboardInterrupt on Ctrl-C.

    Args:
        client: reads the job.
        job_id: the job's id.
        output: how to show the progress.
        keeper: its stack is kept up meanwhile; None: there is none to keep.
        timeout_s: how long to watch at most, in seconds; None for no limit.
        seen: called with the job as it is seen at each look.
    Returns:
        The job's last document.
    """
    with shown(output) as show:
        for progress in client.follow(job_id, timeout_s=timeout_s, tell=output.note):
            seen(progress)
            show(progress)
            if keeper is not None and not progress.final:
                keeper.check(progress)
    return progress.job


def end_all(
    client: "Client",
    ids: Sequence[int],
    progress: Output,
    output: Output,
    *,
    timeout_s: float | None = None,
) -> None:
    """Watch jobs until they end, then answer; `timeout_s` limits all of them together."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    documents = []
    for job_id in ids:
        left = None if end is None else max(0.0, end - time.monotonic())
        documents.append(watch(client, job_id, progress, timeout_s=left))
    answer(documents, output)


def answer(documents: Sequence["JobAnswer"], output: Output) -> None:
    """Write the results of jobs; exit with the code of the first job that did not succeed.

    Raises:
        ExitWith: a job did not succeed.
    """
    if output.json:
        output.document(documents[0] if len(documents) == 1 else list(documents))
    elif not output.quiet:
        for place, document in enumerate(documents):
            if place:
                output.line("")
            elif output.redraws(sys.stderr):
                # An empty line between the progress bar and the report.
                output.note("")
            report(document, output)
    for code in map(of_job, documents):
        if code is not ExitCode.DONE:
            raise ExitWith(code)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM and a closed terminal (SIGHUP) end a command as cleanly as Ctrl-C does.

    They interrupt a command only once, and not after Ctrl-C: a terminal that closes sends SIGHUP
    twice, and `fornada down` may ask a stack that is already stopping. Only Ctrl-C again means that
    a person will not wait. A signal that is ignored, such as SIGHUP under nohup, stays ignored.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if number == signal.SIGINT or not interrupted:
            interrupted = True
            raise Interrupted(number)

    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [kind for kind in kinds if signal.getsignal(kind) is not signal.SIG_IGN]
    before = {kind: signal.signal(kind, interrupt) for kind in heard}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
