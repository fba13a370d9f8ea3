"""Gives every exception of a trainer a failure code and a message."""

import errno
import re
import resource
import sys
import traceback

from fornada.db.states import FailureCode
from fornada.spec import PathRefused, SpecProblems, wording


class TrainingFailed(Exception):  # the word of the job's record
    """The job cannot succeed.

    Attributes:
        code: the failure's code.
        epoch: the epoch in which it failed, 0 before the first.
    """

    def __init__(self, code: FailureCode, message: str, *, epoch: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.epoch = epoch


# Failures that the user can correct. The message is enough, so no traceback is printed.
EXPECTED = frozenset(FailureCode) - {
    FailureCode.GPU_OOM,
    FailureCode.HOST_OOM,
    FailureCode.DISK_FULL,
    FailureCode.ARTIFACT_WRITE,
    FailureCode.INTERNAL,
}


def failure(error: BaseException) -> TrainingFailed:
    """Give an exception a code and a message that says what to do.

    Args:
        error: the exception that ended the job.
    """
    if isinstance(error, TrainingFailed):
        return error
    if isinstance(error, SpecProblems | PathRefused):
        return TrainingFailed(error.code, str(error))
    code = _code(error)
    if code is FailureCode.HOST_OOM and (most := memory_limit()) is not None:
        # A retry on another host would not help, because the limit is the same there.
        code = FailureCode.RESOURCE_LIMIT
        why = (
            f"The trainer may allocate {most:,} bytes (FORNADA_MAX_MEMORY_BYTES) and needs more; "
            f"try a smaller batch_size or model. {first_line(error)}"
        )
        return TrainingFailed(code, why)
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        code = FailureCode.RESOURCE_LIMIT
        why = (
            "A file would be larger than a trainer may write (FORNADA_MAX_FILE_BYTES). "
            f"{first_line(error)}"
        )
        return TrainingFailed(code, why)
    return TrainingFailed(code, _MESSAGES.get(code, "{}").format(first_line(error)))


def trace(error: BaseException) -> str:
    """The traceback as text; only its end when it is long."""
    return "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]


def printable(text: str) -> str:
    """Make text safe for any log, terminal and JSON document: a file name may hold any bytes.

    Args:
        text: line ends are kept; other characters that cannot be printed are escaped.
    """
    return "\n".join(map(wording.printable, text.split("\n")))


def first_line(error: BaseException) -> str:
    """The exception's class and the first line of what it says."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0]}"


# Most characters of a traceback in the database; TensorFlow prints whole graphs in some.
_LONGEST_TRACE = 32_000

_MESSAGES = {
    FailureCode.HOST_OOM: "The host's memory is exhausted; try a smaller batch_size or model. {}",
    FailureCode.GPU_OOM: "The GPU's memory is exhausted; try a smaller batch_size or model. {}",
    FailureCode.DISK_FULL: "No space is left where the job's files are written. {}",
    FailureCode.ARTIFACT_WRITE: "A file of the job could not be written. {}",
}


def memory_limit() -> int | None:
    """Bytes that this process may allocate; None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft


def _code(error: BaseException) -> FailureCode:
    text = str(error)
    # TensorFlow's file writers report a full disk as ResourceExhaustedError.
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return FailureCode.DISK_FULL
    if isinstance(error, MemoryError):
        return FailureCode.HOST_OOM
    if type(error).__name__ == "ResourceExhaustedError":
        return FailureCode.GPU_OOM if re.search(r"device:GPU:\d", text) else FailureCode.HOST_OOM
    if type(error).__name__ == "JaxRuntimeError" and text.startswith("RESOURCE_EXHAUSTED"):
        on_gpu = sys.modules["jax"].default_backend() == "gpu"
        return FailureCode.GPU_OOM if on_gpu else FailureCode.HOST_OOM
    if isinstance(error, OSError):
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return FailureCode.DISK_FULL if full else FailureCode.ARTIFACT_WRITE
    return FailureCode.INTERNAL
