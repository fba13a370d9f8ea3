"""Exit codes of the command line: what each means, and which error ends with which."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The documented table. A script may rely on it."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    SPEC_INVALID = 3
    NOT_FOUND = 4
    WRONG_STATE = 5
    UNREACHABLE = 6
    JOB_FAILED = 10
    CANCELLED = 11
    TIME_LIMIT = 12
    LOST = 13
    NEVER_SCHEDULED = 14
    WAIT_TIMED_OUT = 124
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "Done. Where a job was waited for: it succeeded.",
    ExitCode.INTERNAL: "An error inside Fornada; FORNADA_DEBUG=1 shows where.",
    ExitCode.USAGE: "The command line or a setting is wrong, "
    "or --needed cannot read the data here.",
    ExitCode.SPEC_INVALID: "A spec, its data or its model is invalid, or its file cannot be read; "
    "every problem is listed.",
    ExitCode.NOT_FOUND: "No such job, worker or log; no usable IDX files to import.",
    ExitCode.WRONG_STATE: "The job's state, a stack already up, a folder that exists or cannot be "
    "written, or too little room for a pack does not allow it.",
    ExitCode.UNREACHABLE: "The database (or, where it is needed, the broker) is unreachable, has "
    "another schema, or does not let this user do that.",
    ExitCode.JOB_FAILED: "The job failed.",
    ExitCode.CANCELLED: "The job was cancelled.",
    ExitCode.TIME_LIMIT: "The job reached its time limit.",
    ExitCode.LOST: "The job was lost with its worker.",
    ExitCode.NEVER_SCHEDULED: "No worker there is can run the job.",
    ExitCode.WAIT_TIMED_OUT: "The wait timed out; the job goes on.",
    ExitCode.INTERRUPTED: "Ctrl-C or SIGTERM; the job goes on.",
}


class ExitWith(Exception):
    """End the command with this code, and say this on stderr, if anything."""

    def __init__(self, code: ExitCode, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def of_job(job: Mapping[str, Any]) -> ExitCode:
    """What a command that waited for a job ends with.

    Args:
        job: the document of a job in a final state.
    """
    if job["state"] == "succeeded":
        return ExitCode.DONE
    if job["state"] == "cancelled":
        return ExitCode.CANCELLED
    code = str((job.get("failure") or {}).get("code"))
    return {"TIME_LIMIT": ExitCode.TIME_LIMIT, "WORKER_LOST": ExitCode.LOST}.get(
        code, ExitCode.JOB_FAILED
    )


def of_error(error: Exception) -> ExitCode | None:
    """What an error that a command lets through ends with; None when nobody expected it."""
    if isinstance(error, ExitWith):
        return error.code
    # Loaded by whoever raised the error; help and completion raise none.
    import fornada.db.errors
    import fornada.errors
    from fornada.spec import SpecProblems

    if isinstance(error, SpecProblems):
        return ExitCode.SPEC_INVALID
    table: tuple[tuple[type[Exception], ExitCode], ...] = (
        (fornada.db.errors.JobNotFound, ExitCode.NOT_FOUND),
        (fornada.db.errors.AmbiguousReference, ExitCode.NOT_FOUND),
        (fornada.db.errors.BadCursor, ExitCode.USAGE),
        (fornada.db.errors.BadReference, ExitCode.USAGE),
        (fornada.db.errors.WrongState, ExitCode.WRONG_STATE),
        (fornada.db.errors.DatabaseUnreachable, ExitCode.UNREACHABLE),
        (fornada.db.errors.NotPermitted, ExitCode.UNREACHABLE),
        (fornada.db.errors.SchemaMismatch, ExitCode.UNREACHABLE),
        (fornada.errors.BrokerUnreachable, ExitCode.UNREACHABLE),
        (fornada.errors.Undecided, ExitCode.UNREACHABLE),
        (fornada.errors.SettingsError, ExitCode.USAGE),
        (fornada.errors.NoKeras, ExitCode.USAGE),
        (fornada.errors.StackRunning, ExitCode.WRONG_STATE),
        (fornada.errors.NotStarted, ExitCode.WRONG_STATE),
        (fornada.errors.WaitTimedOut, ExitCode.WAIT_TIMED_OUT),
        (fornada.errors.NeverScheduled, ExitCode.NEVER_SCHEDULED),
        (fornada.errors.LogElsewhere, ExitCode.NOT_FOUND),
        (fornada.errors.WorkerNotFound, ExitCode.NOT_FOUND),
        (fornada.errors.NotExtendable, ExitCode.WRONG_STATE),
        (fornada.errors.DataUnreadable, ExitCode.USAGE),
        (fornada.errors.FornadaError, ExitCode.INTERNAL),
        (fornada.db.errors.StoreError, ExitCode.INTERNAL),
    )
    return next((code for kind, code in table if isinstance(error, kind)), None)
