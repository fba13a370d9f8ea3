"""A model of the database in plain Python, for the state machine test in `test_store_machine`.

It is written from the table of legal moves and from what the documentation promises about retries
and steering. It does not follow the code of `fornada.db`.
"""

from dataclasses import dataclass, field

from fornada.db.states import LEGAL_MOVES, AttemptOutcome, JobState

# By worker: its host, the queues that it serves, and whether it has a GPU.
WORKERS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "w1": ("h1", ("default", "night"), False),
    "w2": ("h2", ("default", "night"), True),
    "w3": ("h2", ("night",), False),
}
AGAIN = (AttemptOutcome.CRASHED, AttemptOutcome.LOST)
ENDS = {
    AttemptOutcome.SUCCEEDED: JobState.SUCCEEDED,
    AttemptOutcome.FAILED: JobState.FAILED,
    AttemptOutcome.CANCELLED: JobState.CANCELLED,
    AttemptOutcome.TIMED_OUT: JobState.FAILED,
    AttemptOutcome.PREEMPTED: JobState.QUEUED,
}


@dataclass
class Job:
    """One job as it should be."""

    id: int
    uid: str
    queue: str
    priority: int
    gpus: str
    retry_attempts: int
    key: str | None
    needs: list[int]
    any_end: bool
    continues: int | None
    state: JobState | None = None
    held: bool = False
    # Whether the job may not start yet because of the pause before a retry.
    pausing: bool = False
    attempt: int = 0
    tries: int = 0
    avoid: str | None = None
    resume_after: int = 0
    cancelling: bool = False
    worker: str | None = None
    # The attempt that trained each epoch, by the epoch's number.
    epochs: dict[int, int] = field(default_factory=dict)
    outcomes: list[AttemptOutcome] = field(default_factory=list)

    def to(self, state: JobState) -> None:
        """Change the state. The move must be legal."""
        assert state in LEGAL_MOVES[self.state], (self, state)
        self.state = state
        if state is not JobState.RUNNING:
            self.worker = None

    @property
    def live(self) -> bool:
        """Whether the job has not ended."""
        return self.state is not None and not self.state.final


class Model:
    """All jobs and queues as they should be."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.paused: set[str] = set()
        self.limits: dict[str, int] = {}

    def submit(self, job: Job, *, held: bool) -> None:
        """Add a new job: it is queued, held, or cancelled at once."""
        self.jobs[job.id] = job
        job.held = held
        waits = not all(self._met(job, need) for need in job.needs)
        job.to(JobState.HELD if held or waits else JobState.QUEUED)
        if waits:
            self._decide(job)

    def best(self, worker: str) -> Job | None:
        """The job that a claim must take."""
        host, queues, gpu = WORKERS[worker]
        fitting = [
            job
            for job in self.jobs.values()
            if job.state is JobState.QUEUED
            and not job.pausing
            and job.queue in queues
            and self.open(job.queue)
            and (gpu or job.gpus != "1")
        ]
        first_choice = [job for job in fitting if job.avoid != host]
        avoiding = [job for job in fitting if job.avoid == host and not self._fits_elsewhere(job)]
        return min(first_choice or avoiding, key=lambda job: (-job.priority, job.id), default=None)

    def open(self, queue: str) -> bool:
        """Whether a job of a queue may start."""
        return self.room(queue) > 0

    def room(self, queue: str) -> int:
        """How many more jobs of a queue may start."""
        running = sum(job.queue == queue for job in self.running())
        limit = self.limits.get(queue, 10**9)
        return 0 if queue in self.paused else max(0, limit - running)

    def claim(self, job: Job, worker: str) -> None:
        """A worker claims a job."""
        job.to(JobState.RUNNING)
        job.attempt += 1
        job.worker = worker

    def end(self, job: Job, outcome: AttemptOutcome, *, host_failed: bool, pause: bool) -> None:
        """The attempt of a running job ends."""
        assert job.worker is not None
        host = WORKERS[job.worker][0]
        job.outcomes.append(outcome)
        if job.cancelling:
            job.to(JobState.CANCELLED)
        elif outcome in AGAIN or host_failed:
            job.tries += 1
            job.avoid = host
            job.pausing = pause and job.tries < job.retry_attempts
            job.to(JobState.QUEUED if job.tries < job.retry_attempts else JobState.FAILED)
        else:
            job.to(ENDS[outcome])
        if not job.live:
            self._settle(job)

    def cancel(self, job: Job) -> None:
        """A person cancels a job that has not ended."""
        if job.state is JobState.RUNNING:
            job.cancelling = True
        else:
            job.to(JobState.CANCELLED)
            job.cancelling = True
            self._settle(job)

    def hold(self, job: Job) -> None:
        """A person holds a waiting job."""
        if job.state is JobState.QUEUED:
            job.to(JobState.HELD)
        job.held = True

    def release(self, job: Job) -> None:
        """A person releases a waiting job."""
        if job.state is JobState.HELD:
            job.held = False
            if not self._unmet(job):
                job.to(JobState.QUEUED)

    def retry(self, job: Job, *, fresh: bool) -> None:
        """A person retries a failed or cancelled job."""
        job.to(JobState.QUEUED)
        job.cancelling = job.held = job.pausing = False
        job.tries, job.avoid = 0, None
        if fresh:
            job.resume_after = job.attempt
        job.needs = [n for n in job.needs if self.jobs[n].live or self._met(job, n)]
        if self._unmet(job):
            job.to(JobState.HELD)

    def top(self, job: Job) -> int:
        """The priority that a job gets when it is moved to the top of its queue."""
        others = [
            (-other.priority, other.id)
            for other in self.jobs.values()
            if other.state is JobState.QUEUED and other.queue == job.queue and other is not job
        ]
        first = min(others, default=None)
        if first is None or (-job.priority, job.id) < first:
            return job.priority
        return -first[0] + (0 if job.id < first[1] else 1)

    def resume_from(self, job: Job) -> tuple[tuple[str, int], ...]:
        """The attempts in which a claimed job looks for a training state."""
        own = [(job.uid, number) for number in range(job.attempt - 1, job.resume_after, -1)]
        if job.continues is None:
            return tuple(own)
        first = self.jobs[job.continues]
        then = [(first.uid, number) for number in range(first.attempt, first.resume_after, -1)]
        return (*own, *then)

    def running(self, worker: str | None = None) -> list[Job]:
        """The running jobs of one worker, or of all workers."""
        return [
            job
            for job in self.jobs.values()
            if job.state is JobState.RUNNING and worker in (None, job.worker)
        ]

    def _fits_elsewhere(self, job: Job) -> bool:
        return any(
            host != job.avoid and job.queue in queues and (gpu or job.gpus != "1")
            for host, queues, gpu in WORKERS.values()
        )

    def _met(self, job: Job, need: int) -> bool:
        other = self.jobs[need]
        return not other.live if job.any_end else other.state is JobState.SUCCEEDED

    def _unmet(self, job: Job) -> bool:
        return any(self.jobs[need].live for need in job.needs)

    def _settle(self, ended: Job) -> None:
        for job in self.jobs.values():
            if job.state is JobState.HELD and ended.id in job.needs:
                self._decide(job)

    def _decide(self, job: Job) -> None:
        if any(not self.jobs[need].live and not self._met(job, need) for need in job.needs):
            job.to(JobState.CANCELLED)
            job.cancelling = True
            self._settle(job)
        elif not job.held and not self._unmet(job):
            job.to(JobState.QUEUED)
