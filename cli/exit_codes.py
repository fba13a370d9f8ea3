"""Exit codes of the command line: what each means, and which error ends with which."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
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


MEANINGS: Mapping[Exit, str] = {
    Exit.DONE: "Done. Where a job was waited for: it succeeded.",
    Exit.INTERNAL: "An error inside Fornada; FORNADA_DEBUG=1 shows where.",
    Exit.USAGE: "The command line or a setting is wrong, or --needed cannot read the data here.",
    Exit.SPEC_INVALID: "A spec, its data or its model is invalid, or its file cannot be read; "
    "every problem is listed.",
    Exit.NOT_FOUND: "No such job, worker or log; no usable IDX files to import.",
    Exit.WRONG_STATE: "The job's state, a stack already up, a folder that exists or cannot be "
    "written, or too little room for a pack does not allow it.",
    Exit.UNREACHABLE: "The database (or, where it is needed, the broker) is unreachable, has "
    "another schema, or does not let this user do that.",
    Exit.JOB_FAILED: "The job failed.",
    Exit.CANCELLED: "The job was cancelled.",
    Exit.TIME_LIMIT: "The job reached its time limit.",
    Exit.LOST: "The job was lost with its worker.",
    Exit.NEVER_SCHEDULED: "No worker there is can run the job.",
    Exit.WAIT_TIMED_OUT: "The wait timed out; the job goes on.",
    Exit.INTERRUPTED: "Ctrl-C or SIGTERM; the job goes on.",
}


class ExitWith(Exception):
    """End the command with this code, and say this on stderr, if anything."""

    def __init__(self, code: Exit, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def of_job(job: Mapping[str, Any]) -> Exit:
    """What a command that waited for a job ends with.

    Args:
        job: the document of a job in a final state.
    """
    if job["state"] == "succeeded":
        return Exit.DONE
    if job["state"] == "cancelled":
        return Exit.CANCELLED
    code = str((job.get("failure") or {}).get("code"))
    return {"TIME_LIMIT": Exit.TIME_LIMIT, "WORKER_LOST": Exit.LOST}.get(code, Exit.JOB_FAILED)


def of_error(error: Exception) -> Exit | None:
    """What an error that a command lets through ends with; None when nobody expected it."""
    if isinstance(error, ExitWith):
        return error.code
    # Loaded by whoever raised the error; help and completion raise none.
    import fornada.db.errors
    import fornada.errors
    from fornada.spec import SpecProblems

    if isinstance(error, SpecProblems):
        return Exit.SPEC_INVALID
    table: tuple[tuple[type[Exception], Exit], ...] = (
        (fornada.db.errors.JobNotFound, Exit.NOT_FOUND),
        (fornada.db.errors.AmbiguousReference, Exit.NOT_FOUND),
        (fornada.db.errors.BadCursor, Exit.USAGE),
        (fornada.db.errors.BadReference, Exit.USAGE),
        (fornada.db.errors.WrongState, Exit.WRONG_STATE),
        (fornada.db.errors.DatabaseUnreachable, Exit.UNREACHABLE),
        (fornada.db.errors.NotPermitted, Exit.UNREACHABLE),
        (fornada.db.errors.SchemaMismatch, Exit.UNREACHABLE),
        (fornada.errors.BrokerUnreachable, Exit.UNREACHABLE),
        (fornada.errors.Undecided, Exit.UNREACHABLE),
        (fornada.errors.SettingsError, Exit.USAGE),
        (fornada.errors.NoKeras, Exit.USAGE),
        (fornada.errors.StackRunning, Exit.WRONG_STATE),
        (fornada.errors.NotStarted, Exit.WRONG_STATE),
        (fornada.errors.WaitTimedOut, Exit.WAIT_TIMED_OUT),
        (fornada.errors.NeverScheduled, Exit.NEVER_SCHEDULED),
        (fornada.errors.LogElsewhere, Exit.NOT_FOUND),
        (fornada.errors.WorkerNotFound, Exit.NOT_FOUND),
        (fornada.errors.NotExtendable, Exit.WRONG_STATE),
        (fornada.errors.DataUnreadable, Exit.USAGE),
        (fornada.errors.FornadaError, Exit.INTERNAL),
        (fornada.db.errors.StoreError, Exit.INTERNAL),
    )
    return next((code for kind, code in table if isinstance(error, kind)), None)
