"""Watching jobs to their ends, and leaving them alone on Ctrl-C."""

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from fornada.cli.exit_codes import ExitCode, ExitWith, of_job
from fornada.cli.output import Output
from fornada.cli.progress import shown
from fornada.cli.result import report

if TYPE_CHECKING:
    from fornada.cli.temporary_stack import TemporaryStack
    from fornada.client import Client


def watch(
    client: "Client",
    job_id: int,
    output: Output,
    *,
    keeper: "TemporaryStack | None" = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Show a job's progress until its end.

    Args:
        client: to look with.
        job_id: the job.
        output: how to show it.
        keeper: keeps a stack up for the job, where the command is to do so.
        timeout_s: how long at most.
    Returns:
        The job's last document.
    Raises:
        ExitWith: on Ctrl-C; the job goes on.
        WaitTimedOut: it goes on too.
    """
    document: dict[str, Any] = {}
    try:
        with shown(output) as show:
            for sight in client.follow(job_id, timeout_s=timeout_s, tell=output.note):
                document = sight.job
                show(sight)
                if keeper is not None and not sight.final:
                    keeper.see_to(sight)
    except KeyboardInterrupt:
        ours = keeper is not None and keeper.ours
        if ours:
            output.warn("stopping the worker; Ctrl-C once more ends it at once")
        raise ExitWith(ExitCode.INTERRUPTED, _come_back(job_id, ours)) from None
    return document


def end_all(
    client: "Client",
    ids: Sequence[int],
    progress: Output,
    output: Output,
    *,
    timeout_s: float | None = None,
) -> None:
    """Watch jobs to their ends and answer; `timeout_s` is for all of them together."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    documents = []
    for one in ids:
        left = None if end is None else max(0.0, end - time.monotonic())
        documents.append(watch(client, one, progress, timeout_s=left))
    answer(documents, output)


def answer(documents: Sequence[Mapping[str, Any]], output: Output) -> None:
    """Write what jobs came to, and end with the code of the first that did not succeed.

    Raises:
        ExitWith: one did not.
    """
    if output.json:
        output.document(documents[0] if len(documents) == 1 else list(documents))
    elif not output.quiet:
        for place, document in enumerate(documents):
            if place:
                output.line("")
            elif output.rich(sys.stderr):
                # Below the bar.
                output.note("")
            report(document, output)
    for code in map(of_job, documents):
        if code is not ExitCode.DONE:
            raise ExitWith(code)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does: in order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _come_back(job_id: int, stopped: bool) -> str:
    if stopped:
        return (
            f"Job {job_id} is back in the queue: its worker stopped with this command.\n"
            f"  Go on: fornada up, and in another terminal: fornada wait {job_id}"
        )
    return (
        f"Stopped watching; job {job_id} goes on.\n"
        f"  Come back: fornada wait {job_id}    Stop it: fornada cancel {job_id}"
    )
