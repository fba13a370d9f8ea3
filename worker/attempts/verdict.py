"""The verdict on an attempt, from its trainer's last message and exit status."""

import errno
import signal
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fornada import artifacts
from fornada.db.queue.logs import LAST_BYTES, lines_of
from fornada.db.records import ArtifactRow, Failure, Verdict
from fornada.db.states import QUOTE, AttemptOutcome, FailureCode, StopReason
from fornada.settings import Settings
from fornada.worker import attempt_files
from fornada.worker.attempts.reports import best_model
from fornada.worker.messages import (
    Best,
    Failed,
    FileRecord,
    Finished,
    Stopped,
    TestResult,
    WhyStop,
)
from fornada.worker.slots.exit_status import ExitStatus

# The trainer's standard output and error, in its folder.
LOG = "train.log"
# Errors that mean that the host ran out of disk or memory. Every other error becomes
# ARTIFACT_WRITE.
_HOST = {
    errno.ENOSPC: FailureCode.DISK_FULL,
    errno.EDQUOT: FailureCode.DISK_FULL,
    errno.ENOMEM: FailureCode.HOST_OOM,
    errno.EAGAIN: FailureCode.HOST_OOM,
}
# Printed when an allocation fails in a C++ library, which aborts without a Python exception.
_BAD_ALLOC = "terminate called after throwing an instance of 'std::bad_alloc'"
_ASKED = {
    WhyStop.CANCEL: (AttemptOutcome.CANCELLED, StopReason.CANCELLED),
    WhyStop.DRAIN: (AttemptOutcome.PREEMPTED, None),
    WhyStop.TIME_LIMIT: (AttemptOutcome.TIMED_OUT, StopReason.TIME_LIMIT),
}


@dataclass
class Ending:
    """What is known about how an attempt ended; filled in while it runs.

    Args:
        folder: where the attempt wrote its files.
        time_limit_s: the job's time limit, for the message.
        memory_bytes: how much its trainer may allocate; None when Fornada sets no limit.
        job_id: the job, for the message.
    """

    folder: Path
    time_limit_s: float | None = None
    memory_bytes: int | None = None
    job_id: int = 0
    # The trainer's last message; None when it ended without one.
    last_message: Finished | Stopped | Failed | None = None
    # The best model of the epochs so far.
    best: Best | None = None
    # The last epoch that the trainer reported, 0 before the first.
    epoch: int = 0
    # What is wrong with a line that is not a message; None while all lines are messages.
    garbled: str | None = None
    # Why the trainer was asked to stop.
    asked: WhyStop | None = None
    # How the trainer process ended; None when it waits for another job.
    exit: ExitStatus | None = None

    @property
    def where(self) -> str:
        """How far the training was. After its last epoch a trainer still evaluates and saves."""
        return f"after epoch {self.epoch}" if self.epoch else "before the end of its first epoch"

    @property
    def again(self) -> bool:
        """Whether the trainer's last message says that it waits for another job."""
        return isinstance(self.last_message, Finished | Stopped) and self.last_message.again


def verdict(ending: Ending, settings: Settings) -> Verdict:
    """Decide the verdict on an attempt. Reported files are checked on the disk."""
    last = ending.last_message
    if isinstance(last, Finished):
        return _finished(ending, last, settings)
    # A failure counts more than a drain or a time limit, but less than a cancel.
    failed = isinstance(last, Failed) and ending.asked is not WhyStop.CANCEL
    if ending.asked is not None and not failed:
        return _asked(ending, ending.asked, settings)
    if isinstance(last, Failed):
        return _failed(ending, last, settings)
    return _crashed(ending, settings)


def not_begun(error: OSError) -> Verdict:
    """The verdict on an attempt whose folder could not be made or trainer could not start."""
    code = _HOST.get(error.errno or 0, FailureCode.ARTIFACT_WRITE)
    failure = Failure(code, f"the attempt could not begin: {error}")
    return Verdict(AttemptOutcome.FAILED, failure=failure)


def unsupervised(error: Exception) -> Verdict:
    """The verdict on an attempt whose supervisor failed with an unexpected exception."""
    message = f"the supervisor failed: {type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Verdict(AttemptOutcome.FAILED, failure=Failure(FailureCode.INTERNAL, message, trace))


def _finished(ending: Ending, message: Finished, settings: Settings) -> Verdict:
    try:
        for record in (message.best.file, *message.files):
            # The log may have grown since the report: native code writes to it until the end.
            if record.kind != "log":
                attempt_files.verify(record, ending.folder)
    except attempt_files.Missing as exc:
        failure = Failure(FailureCode.ARTIFACT_WRITE, str(exc), "")
        return _verdict(ending, settings, AttemptOutcome.FAILED, failure=failure)
    return _verdict(
        ending,
        settings,
        AttemptOutcome.SUCCEEDED,
        reason=message.stop_reason,
        best=message.best,
        test=message.test,
    )


def _asked(ending: Ending, why: WhyStop, settings: Settings) -> Verdict:
    outcome, reason = _ASKED[why]
    failure = None
    if why is WhyStop.TIME_LIMIT:
        limit_s = ending.time_limit_s or 0.0
        message = (
            f"stopped {ending.where} at its time limit of {limit_s:g} s; "
            f"`fornada retry {ending.job_id}` goes on from there, for as long again"
        )
        failure = Failure(FailureCode.TIME_LIMIT, message, "")
    best = ending.last_message.best if isinstance(ending.last_message, Stopped) else None
    return _verdict(ending, settings, outcome, reason=reason, failure=failure, best=best)


def _failed(ending: Ending, message: Failed, settings: Settings) -> Verdict:
    reason = StopReason.DIVERGED if message.code is FailureCode.DIVERGED else None
    failure = Failure(message.code, message.message, message.traceback)
    outcome = AttemptOutcome.FAILED
    return _verdict(ending, settings, outcome, reason=reason, failure=failure, best=message.best)


def _crashed(ending: Ending, settings: Settings) -> Verdict:
    tail = _last_lines(ending.folder / LOG)
    where = ending.where
    outcome = AttemptOutcome.CRASHED
    if ending.exit is not None and ending.exit.killed_for_memory:
        code = FailureCode.HOST_OOM
        what = "the host was out of memory"
        if ending.exit.limit_reached:
            what = "it reached the limit of its control group (FORNADA_MAX_MEMORY_BYTES)"
        message = f"the kernel killed the trainer (SIGKILL) {where}: {what}"
    elif _found_no_memory(ending.exit, tail) and ending.memory_bytes is not None:
        # A retry would not help, since every host has the same limit. So the attempt fails, as
        # after a MemoryError in Python.
        code, outcome = FailureCode.RESOURCE_LIMIT, AttemptOutcome.FAILED
        message = (
            f"the trainer may allocate {ending.memory_bytes:,} bytes (FORNADA_MAX_MEMORY_BYTES) "
            f"and needed more {where}; try a smaller batch_size or model"
        )
    elif _found_no_memory(ending.exit, tail):
        code = FailureCode.HOST_OOM
        message = f"the trainer ran out of memory {where}; try a smaller batch_size or model"
    elif ending.garbled is not None:
        code = FailureCode.CRASHED
        message = f"the trainer wrote a line {where} that is not a message: {ending.garbled}"
    else:
        code = FailureCode.CRASHED
        message = f"the trainer ended {where} without a verdict: {ending.exit}"
    if tail:
        message += f"{QUOTE}{tail[-1]}"
    failure = Failure(code, message, "\n".join(tail))
    return _verdict(ending, settings, outcome, failure=failure)


def _last_lines(file: Path) -> list[str]:
    """The last lines of a log; empty when the file does not exist."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - LAST_BYTES))
            return lines_of(stream.read())
    except FileNotFoundError:
        return []


def _found_no_memory(end: ExitStatus | None, tail: Sequence[str]) -> bool:
    """Whether native code aborted the trainer because an allocation failed."""
    aborted = end is not None and end.status == -signal.SIGABRT
    return aborted and any(_BAD_ALLOC in line for line in tail)


def _verdict(  # noqa: PLR0913 - the fields of a verdict
    ending: Ending,
    settings: Settings,
    outcome: AttemptOutcome,
    *,
    reason: StopReason | None = None,
    failure: Failure | None = None,
    best: Best | None = None,
    test: TestResult | None = None,
) -> Verdict:
    best = best or ending.best
    best = best and attempt_files.settled(best, ending.folder)
    reported = [best.file] if best else []
    if ending.last_message is not None:
        reported = ending.last_message.files
    return Verdict(
        outcome=outcome,
        stop_reason=reason,
        failure=failure,
        best=best_model(best, settings),
        test=None if test is None else test.model_dump(mode="json"),
        artifacts=_rows(reported, ending.folder, settings),
        exit_status=None if ending.exit is None else ending.exit.status,
    )


def _rows(
    reported: Iterable[FileRecord], folder: Path, settings: Settings
) -> tuple[ArtifactRow, ...]:
    records = [
        file for file in reported if file.kind != "log" and attempt_files.is_there(file, folder)
    ]
    # The log grows until the trainer has ended, so its size and checksum are taken here.
    if (folder / LOG).is_file():
        records.append(attempt_files.record("log", folder / LOG))
    return tuple(
        ArtifactRow(record.kind, artifacts.uri(settings, record.path), record.bytes, record.sha256)
        for record in records
    )
