"""Serves jobs one after the other, each as if it were the first of its process."""

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
from fornada.worker.trainer.run import Baking, failed


def serve(inbox: Inbox, outbox: Outbox, settings: Settings) -> None:
    """Train what comes, until a job was the last that this process may take.

    Args:
        inbox: what the supervisor sends.
        outbox: how it hears.
        settings: limits.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    room = memory.Room(settings.max_memory_bytes)
    while True:
        order = inbox.order()
        verdict = _bake(order, outbox, settings)
        # A failure may have left anything behind.
        if order.job.again and not isinstance(verdict, Failed):
            reset.forget()
            memory.give_back()
            if room.left:
                outbox.tell(verdict.model_copy(update={"again": True}))
                continue
        inbox.let_go()
        outbox.tell(verdict)
        return


def _bake(order: Assignment, outbox: Outbox, settings: Settings) -> Finished | Stopped | Failed:
    try:
        # A warning is said once, and again for the next job.
        with _logged(order.job.folder / "train.log"), warnings.catch_warnings():
            return Baking(order.job, settings, order.asked, outbox.tell).verdict()
    except OSError as error:
        # Of the log alone: Baking has a verdict on all others.
        return failed(error)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Meanwhile all that is printed, by Python or by native code, is the job's log."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    own = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        _point_to([log, log])
        yield
    finally:
        _point_to(own)
        # What a full disk did not take must not be in the next job's log.
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
