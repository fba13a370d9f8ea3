"""What an attempt came to: from its trainer's last words and exit to the row's verdict."""

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
# What the host was short of; any other error is about the attempt's folder.
_HOST = {
    errno.ENOSPC: FailureCode.DISK_FULL,
    errno.EDQUOT: FailureCode.DISK_FULL,
    errno.ENOMEM: FailureCode.HOST_OOM,
    errno.EAGAIN: FailureCode.HOST_OOM,
}
# What a C++ library says when it dies of an allocation: of its own, no exception of Python's.
_BAD_ALLOC = "terminate called after throwing an instance of 'std::bad_alloc'"
_ASKED = {
    WhyStop.CANCEL: (AttemptOutcome.CANCELLED, StopReason.CANCELLED),
    WhyStop.DRAIN: (AttemptOutcome.PREEMPTED, None),
    WhyStop.TIME_LIMIT: (AttemptOutcome.TIMED_OUT, StopReason.TIME_LIMIT),
}


@dataclass
class Ending:
    """What is known of an attempt's end; filled while it runs.

    Args:
        folder: where the attempt left its files.
        time_limit_s: of the job, for the message.
        memory_bytes: what its trainer may allocate; None without a limit of ours.
    """

    folder: Path
    time_limit_s: float | None = None
    memory_bytes: int | None = None
    # What the trainer said last; None when it died without a word.
    said: Finished | Stopped | Failed | None = None
    # The best model by the epochs so far.
    best: Best | None = None
    # The last epoch it reported, 0 before the first.
    epoch: int = 0
    # Why it wrote what is no message.
    garbled: str | None = None
    # Why it was asked to stop.
    asked: WhyStop | None = None
    # None while the trainer waits for another job.
    exit: ExitStatus | None = None

    @property
    def again(self) -> bool:
        """Whether the trainer said last that it waits for another job."""
        return isinstance(self.said, Finished | Stopped) and self.said.again


def verdict(ending: Ending, settings: Settings) -> Verdict:
    """Decide what the attempt came to; files are looked at, not believed."""
    said = ending.said
    if isinstance(said, Finished):
        return _finished(ending, said, settings)
    if ending.asked is not None and not (
        isinstance(said, Failed) and ending.asked is not WhyStop.CANCEL
    ):
        return _asked(ending, ending.asked, settings)
    if isinstance(said, Failed):
        return _failed(ending, said, settings)
    return _crashed(ending, settings)


def not_begun(error: OSError) -> Verdict:
    """The verdict on an attempt whose folder could not be made, or whose trainer not started."""
    code = _HOST.get(error.errno or 0, FailureCode.ARTIFACT_WRITE)
    failure = Failure(code, f"the attempt could not begin: {error}")
    return Verdict(AttemptOutcome.FAILED, failure=failure)


def unsupervised(error: Exception) -> Verdict:
    """The verdict on an attempt whose supervisor failed, for a reason nobody thought of."""
    message = f"the supervisor failed: {type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Verdict(AttemptOutcome.FAILED, failure=Failure(FailureCode.INTERNAL, message, trace))


def _finished(ending: Ending, said: Finished, settings: Settings) -> Verdict:
    try:
        for record in (said.best.file, *said.files):
            # The log may have grown since: native code has the last word in it.
            if record.kind != "log":
                attempt_files.verify(record, ending.folder)
    except attempt_files.Missing as exc:
        failure = Failure(FailureCode.ARTIFACT_WRITE, str(exc), "")
        return _verdict(ending, settings, AttemptOutcome.FAILED, failure=failure)
    return _verdict(
        ending,
        settings,
        AttemptOutcome.SUCCEEDED,
        reason=said.stop_reason,
        best=said.best,
        test=said.test,
    )


def _asked(ending: Ending, why: WhyStop, settings: Settings) -> Verdict:
    outcome, reason = _ASKED[why]
    failure = None
    if why is WhyStop.TIME_LIMIT:
        limit_s = ending.time_limit_s or 0.0
        message = (
            f"stopped in epoch {ending.epoch + 1} at its time limit of {limit_s:g} s; "
            f"submit it with a longer resources.time_limit"
        )
        failure = Failure(FailureCode.TIME_LIMIT, message, "")
    best = ending.said.best if isinstance(ending.said, Stopped) else None
    return _verdict(ending, settings, outcome, reason=reason, failure=failure, best=best)


def _failed(ending: Ending, said: Failed, settings: Settings) -> Verdict:
    reason = StopReason.DIVERGED if said.code is FailureCode.DIVERGED else None
    failure = Failure(said.code, said.message, said.traceback)
    outcome = AttemptOutcome.FAILED
    return _verdict(ending, settings, outcome, reason=reason, failure=failure, best=said.best)


def _crashed(ending: Ending, settings: Settings) -> Verdict:
    tail = _last_lines(ending.folder / LOG)
    where = f"in epoch {ending.epoch + 1}" if ending.epoch else "before the end of its first epoch"
    outcome = AttemptOutcome.CRASHED
    if ending.exit is not None and ending.exit.killed_for_memory:
        code = FailureCode.HOST_OOM
        message = f"the kernel killed the trainer (SIGKILL) {where}: the host was out of memory"
    elif _found_no_memory(ending.exit, tail) and ending.memory_bytes is not None:
        # Another host of the same settings has no more: the failure that Python's own would be.
        code, outcome = FailureCode.RESOURCE_LIMIT, AttemptOutcome.FAILED
        message = (
            f"the trainer may allocate {ending.memory_bytes:,} bytes (FORNADA_MAX_MEMORY_BYTES) "
            f"and needed more {where}; try a smaller batch_size or model"
        )
    elif _found_no_memory(ending.exit, tail):
        code = FailureCode.HOST_OOM
        message = f"the trainer found no memory {where}; try a smaller batch_size or model"
    elif ending.garbled is not None:
        code = FailureCode.CRASHED
        message = f"the trainer wrote what is no message {where}: {ending.garbled}"
    else:
        code = FailureCode.CRASHED
        message = f"the trainer ended {where} without a verdict: {ending.exit}"
    if tail:
        message += f"{QUOTE}{tail[-1]}"
    failure = Failure(code, message, "\n".join(tail))
    return _verdict(ending, settings, outcome, failure=failure)


def _last_lines(file: Path) -> list[str]:
    """The last lines of a log; none when there is no log."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - LAST_BYTES))
            return lines_of(stream.read())
    except FileNotFoundError:
        return []


def _found_no_memory(end: ExitStatus | None, tail: Sequence[str]) -> bool:
    """Whether native code aborted the trainer for want of memory."""
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
    left = [best.file] if best else []
    if ending.said is not None:
        left = ending.said.files
    return Verdict(
        outcome=outcome,
        stop_reason=reason,
        failure=failure,
        best=best_model(best, settings),
        test=None if test is None else test.model_dump(mode="json"),
        artifacts=_rows(left, ending.folder, settings),
        exit_status=None if ending.exit is None else ending.exit.status,
    )


def _rows(left: Iterable[FileRecord], folder: Path, settings: Settings) -> tuple[ArtifactRow, ...]:
    # The log's record is ours: it grows until the trainer has ended.
    records = [file for file in left if file.kind != "log" and attempt_files.is_there(file, folder)]
    if (folder / LOG).is_file():
        records.append(attempt_files.record("log", folder / LOG))
    return tuple(
        ArtifactRow(record.kind, artifacts.uri(settings, record.path), record.bytes, record.sha256)
        for record in records
    )
