"""The closed lists of the record: states, outcomes, failure codes, and the legal moves.

Standard library only, so that the command line and the trainer can import it at no cost.
"""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. The last three are final."""

    HELD = "held"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether no worker will move the job any more."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
LIVE_STATES = frozenset(JobState) - FINAL_STATES

# Who moves a job: out of the state on the left, into those on the right.
LEGAL_MOVES: dict[JobState | None, frozenset[JobState]] = {
    # submit; held also while a dependency runs
    None: frozenset({JobState.QUEUED, JobState.HELD}),
    # release, or the dependency is done; cancel
    JobState.HELD: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    # claim; hold; cancel
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.HELD, JobState.CANCELLED}),
    # the attempt that holds the lease, or upkeep; queued again when its worker drains or a retry
    # is due
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}
    ),
    JobState.SUCCEEDED: frozenset(),
    # retry, by a person
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}


# What a person may give a job; `move --top` may go beyond.
PRIORITIES = range(-100, 101)


class WorkerState(StrEnum):
    """What a worker does, by its own word; that it is gone is also said by others."""

    # It has its name, and is about to say what it offers.
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    # Takes nothing any more.
    DRAINING = "draining"
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
    # The lease ran out.
    LOST = "lost"
    TIMED_OUT = "timed_out"


class StopReason(StrEnum):
    """Why the training of a job stopped."""

    COMPLETED = "completed"
    EARLY_STOPPING = "early_stopping"
    DIVERGED = "diverged"
    CANCELLED = "cancelled"
    TIME_LIMIT = "time_limit"


# How the message of a failure begins to quote the last line of the log.
QUOTE = "; its log ends with: "


class FailureCode(StrEnum):
    """Why a job failed; the only codes there are."""

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
