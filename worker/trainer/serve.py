"""Runs jobs one after the other, each as if it were the first of its process."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fornada.settings import Settings
from fornada.worker.messages import Failed, Finished, Stopped
from fornada.worker.trainer.process import memory, reset
from fornada.worker.trainer.process.pipes import Assignment, Inbox, Outbox
from fornada.worker.trainer.run import JobRun, failed


def serve(inbox: Inbox, outbox: Outbox, settings: Settings) -> None:
    """Train one job after the other, until this process may take no other job.

    Args:
        inbox: receives the supervisor's messages.
        outbox: sends messages to the supervisor.
        settings: the worker's settings.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    room = memory.Room(settings.max_memory_bytes)
    while True:
        assignment = inbox.assignment()
        verdict = _run(assignment, outbox, settings)
        # After a failure the state of this process is unknown, so it takes no other job.
        if assignment.job.again and not isinstance(verdict, Failed):
            reset.forget()
            memory.give_back()
            if room.left:
                outbox.tell(verdict.model_copy(update={"again": True}))
                continue
        inbox.expect_close()
        outbox.tell(verdict)
        return


def _run(assignment: Assignment, outbox: Outbox, settings: Settings) -> Finished | Stopped | Failed:
    job = assignment.job
    try:
        # Python prints a warning once; `catch_warnings` lets the next job print it again.
        with _logged(job.folder / "train.log"), warnings.catch_warnings():
            return JobRun(job, settings, assignment.stop_request, outbox.tell).verdict()
    except OSError as error:
        # Only an error of the log itself: JobRun handles all others.
        return failed(error)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Write everything that Python or native code prints into the job's log."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    own = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        _point_to([log, log])
        yield
    finally:
        _point_to(own)
        # Drop text that a full disk did not take, so that it is not in the next job's log.
        _flush()
        for descriptor in (log, *own):
            os.close(descriptor)


def _point_to(descriptors: list[int]) -> None:
    _flush()
    for number, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor, number)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
