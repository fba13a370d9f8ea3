"""Exit codes of the command line: what each code means, and which error leads to which code."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The documented exit codes. Scripts may rely on them."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    SPEC_INVALID = 3
    NOT_FOUND = 4
    WRONG_STATE = 5
    UNREACHABLE = 6
    OUTPUT_LOST = 7
    JOB_FAILED = 10
    CANCELLED = 11
    TIME_LIMIT = 12
    LOST = 13
    NEVER_SCHEDULED = 14
    WAIT_TIMED_OUT = 124
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "Done. If the command waited for a job: the job succeeded.",
    ExitCode.INTERNAL: "An error inside Fornada; FORNADA_DEBUG=1 shows where.",
    ExitCode.USAGE: "The command line or a setting is wrong, "
    "or --needed cannot read the data here.",
    ExitCode.SPEC_INVALID: "A spec, its data or its model is invalid, or its file cannot be read; "
    "every problem is listed.",
    ExitCode.NOT_FOUND: "The job, worker or log does not exist; or there are no usable IDX files "
    "to import.",
    ExitCode.WRONG_STATE: "Not possible now: the job is in another state, a stack is already up, "
    "a folder exists already or cannot be written, there is too little room for a pack, or others "
    "hold what an upgrade of the schema has to lock.",
    ExitCode.UNREACHABLE: "The database (or the broker, if the command needs it) cannot be "
    "reached, has another schema, or does not permit this user to do that.",
    ExitCode.OUTPUT_LOST: "The command has done its work, but its answer could not be written: "
    "the disk is full, or the stream is closed.",
    ExitCode.JOB_FAILED: "The job failed.",
    ExitCode.CANCELLED: "The job was cancelled.",
    ExitCode.TIME_LIMIT: "The job reached its time limit.",
    ExitCode.LOST: "The job was lost with its worker.",
    ExitCode.NEVER_SCHEDULED: "No existing worker can run the job.",
    ExitCode.WAIT_TIMED_OUT: "The wait timed out; the job continues.",
    ExitCode.INTERRUPTED: "Ctrl-C, SIGTERM or a closed terminal; the job continues, "
    "but `run` stops its job.",
}


class ExitWith(Exception):
    """End the command with this exit code, and print the message, if any, on stderr."""

    def __init__(self, code: ExitCode, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def of_job(job: Mapping[str, Any]) -> ExitCode:
    """The exit code of a command that waited for a job.

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
    """The exit code for an error that a command did not catch; None for an unexpected error."""
    if isinstance(error, ExitWith):
        return error.code
    # Imported here so that help and completion, which raise no error, do not load them.
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
        (fornada.db.errors.SchemaBusy, ExitCode.WRONG_STATE),
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
