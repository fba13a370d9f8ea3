"""Every state, outcome and failure code that the database can hold, and the legal state changes.

Imports only the standard library, so that the command line and the trainer can import this module
fast.
"""

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. The last three are final."""

    HELD = "held"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended. Only a person can move it out of a final state."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
LIVE_STATES = frozenset(JobState) - FINAL_STATES

# The states that a job may move to, by its state before. Each comment says who makes the moves.
LEGAL_MOVES: dict[JobState | None, frozenset[JobState]] = {
    # A new job. `submit` queues it, or holds it for a person or until its dependencies end.
    None: frozenset({JobState.QUEUED, JobState.HELD}),
    # A person releases or cancels it, or its last dependency ends.
    JobState.HELD: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    # A worker claims it, or a person holds or cancels it.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.HELD, JobState.CANCELLED}),
    # The attempt that holds the lease moves it, or upkeep when the lease ran out. The job goes back
    # to its queue when its worker drains or when it gets a retry.
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}
    ),
    JobState.SUCCEEDED: frozenset(),
    # A person retries it.
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}


# The priorities that a person may set; `move --top` may set a higher one.
PRIORITIES = range(-100, 101)


class WorkerState(StrEnum):
    """What a worker is doing, as it last reported."""

    # It has registered its name and does not take jobs yet.
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    # Its host cannot run jobs now, so it takes none until the host can.
    UNFIT = "unfit"
    # It takes no more jobs.
    DRAINING = "draining"
    # It has ended.
    GONE = "gone"


class AttemptOutcome(StrEnum):
    """How one execution of a job ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # Its worker was asked to stop.
    PREEMPTED = "preempted"
    # The trainer process died.
    CRASHED = "crashed"
    # The lease ran out, or the worker was started again.
    LOST = "lost"
    TIMED_OUT = "timed_out"


class StopReason(StrEnum):
    """Why the training of a job stopped."""

    COMPLETED = "completed"
    EARLY_STOPPING = "early_stopping"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"
    TIME_LIMIT = "time_limit"


# In a failure message, this text stands before the last line of the log.
QUOTE = "; its log ends with: "


class FailureCode(StrEnum):
    """Why a job failed. There are no other codes."""

    SPEC_SYNTAX = "SPEC_SYNTAX"
    SPEC_INVALID = "SPEC_INVALID"
    PATH_REFUSED = "PATH_REFUSED"
    MODEL_UNTRUSTED = "MODEL_UNTRUSTED"
    MODEL_INVALID = "MODEL_INVALID"
    RESOURCE_LIMIT = "RESOURCE_LIMIT"
    DATA_MISSING = "DATA_MISSING"
    DATA_INVALID = "DATA_INVALID"
    GPU_OOM = "GPU_OOM"
    HOST_OOM = "HOST_OOM"
    DIVERGED = "DIVERGED"
    TIME_LIMIT = "TIME_LIMIT"
    CRASHED = "CRASHED"
    WORKER_LOST = "WORKER_LOST"
    DISK_FULL = "DISK_FULL"
    ARTIFACT_WRITE = "ARTIFACT_WRITE"
    INTERNAL = "INTERNAL"
