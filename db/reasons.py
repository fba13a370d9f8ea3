"""Why a job waits. Each reason is also the word that `--json` prints, as `Priority(3 ahead)`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from fornada.db.timestamps import iso


class Reason(str):
    """A reason to wait: a text for documents, with its amounts as attributes."""


class Held(Reason):
    """A person holds the job.

    Args:
        by: name of this person.
    """

    by: str

    def __new__(cls, by: str) -> Self:
        made = super().__new__(cls, f"Held(by {by})")
        made.by = by
        return made


class After(Reason):
    """The job waits for the end of other jobs.

    Args:
        jobs: ids of the jobs that have not ended yet.
    """

    jobs: tuple[int, ...]

    def __new__(cls, jobs: Sequence[int]) -> Self:
        made = super().__new__(cls, f"After({','.join(f'#{job}' for job in jobs)})")
        made.jobs = tuple(jobs)
        return made


class NotBefore(Reason):
    """The time that a person gave has not come.

    Args:
        at: this time, aware.
    """

    at: datetime

    def __new__(cls, at: datetime) -> Self:
        made = super().__new__(cls, f"NotBefore({iso(at)})")
        made.at = at
        return made


class Backoff(Reason):
    """A pause after an attempt that crashed or was lost.

    Args:
        attempt: number of the next attempt.
        pause_s: seconds until it may start.
    """

    attempt: int
    pause_s: int

    def __new__(cls, attempt: int, pause_s: int) -> Self:
        made = super().__new__(cls, f"Backoff(attempt {attempt} in {pause_s} s)")
        made.attempt = attempt
        made.pause_s = pause_s
        return made


class QueuePaused(Reason):
    """No job of the queue starts."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "QueuePaused")


class QueueFull(Reason):
    """As many jobs of the queue run as may run at once.

    Args:
        limit: how many may run at once.
    """

    limit: int

    def __new__(cls, limit: int) -> Self:
        made = super().__new__(cls, f"QueueFull(max {limit})")
        made.limit = limit
        return made


class Unfit(Reason):
    """No worker that is alive could ever run the job: no passing of time starts it."""


class NoWorker(Unfit):
    """No worker serves the queue."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "NoWorker")


class NeedsGpu(Unfit):
    """No worker that serves the queue has a GPU."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "NeedsGpu")


class WorkersUnfit(Reason):
    """The hosts of all workers that could run the job cannot run any job now.

    Args:
        workers: names of these workers.
        why: why the first of them takes no jobs, as a sentence.
    """

    workers: tuple[str, ...]
    why: str

    def __new__(cls, workers: Sequence[str], why: str) -> Self:
        made = super().__new__(cls, f"WorkersUnfit({','.join(workers)})")
        made.workers = tuple(workers)
        made.why = why
        return made


class HostAvoided(Reason):
    """A slot is free on the host where an attempt crashed; a slot of another host will be free."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "HostAvoided")


class Priority(Reason):
    """Other jobs of the queue are claimed first.

    Args:
        ahead: how many.
    """

    ahead: int

    def __new__(cls, ahead: int) -> Self:
        made = super().__new__(cls, f"Priority({ahead} ahead)")
        made.ahead = ahead
        return made


class SlotsBusy(Reason):
    """The job is the next one; it starts when a slot is free."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "SlotsBusy")
