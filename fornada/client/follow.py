"""Follow a job until it has ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from fornada.client import starting
from fornada.client.connection import Connection
from fornada.db.answers import EpochAnswer, JobAnswer, WaitsAnswer
from fornada.db.errors import DatabaseUnreachable
from fornada.db.reads import history, live
from fornada.db.reasons import NoWorker, Reason
from fornada.db.states import FINAL_STATES, JobState
from fornada.errors import WaitTimedOut
from fornada.patience import Patience, Tell, outage, say_nothing

# Seconds between two looks at a job. More often gains little: a worker writes an epoch to the
# database within two seconds of its end.
LOOK_S = 0.5
WAITING = (JobState.QUEUED, JobState.HELD)


@dataclass(frozen=True)
class Progress:
    """A job as it was seen at one moment.

    Args:
        job: the document of `fornada show --json`.
        epochs: the epochs that are new since the last look. An epoch comes again if a new attempt
            resumes from a training state before it.
        waits: why the job waits; None if it does not wait.
        final: whether this is the last one: the job has ended, and no epoch is missing.
        starts_in_s: estimated seconds until a waiting job starts; None without an estimate.
        start_worker: the command that starts a worker for a job that waits for one: `fornada up`;
            None if no command here would help.
    """

    job: JobAnswer
    epochs: list[EpochAnswer]
    waits: Reason | None
    final: bool
    starts_in_s: float | None = None
    start_worker: str | None = None

    @property
    def outlook(self) -> str:
        """What a job that has not ended does while nobody watches it: `continues`, for example."""
        lost = self.job.get("lost")
        if lost or isinstance(self.waits, NoWorker):
            start = f"; start one: {self.start_worker}" if self.start_worker else ""
            return f"{'is lost and ' if lost else ''}waits for a worker{start}"
        if self.job["state"] == JobState.HELD:
            return "stays held"
        return "stays queued" if self.job["state"] == JobState.QUEUED else "continues"


def follow(
    connection: Connection,
    job_id: int,
    *,
    timeout_s: float | None = None,
    look_s: float = LOOK_S,
    tell: Tell = say_nothing,
) -> Iterator[Progress]:
    """Look at a job again and again until it has ended; see `Client.follow`.

    Raises:
        WaitTimedOut: the job did not end in time.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    ask = Patience(tell, end)
    shown = _Shown()
    state = "not seen"
    while True:
        try:
            progress = ask(lambda: _look(connection, job_id, shown))
        except DatabaseUnreachable as error:
            raise WaitTimedOut(f"job {job_id} was last {state}; {outage(error)}") from error
        state = progress.job["state"]
        shown.seen(progress)
        yield progress
        if progress.final:
            return
        if state in FINAL_STATES:
            # The job ended during this look. Look once more, for epochs written meanwhile.
            continue
        if timeout_s is not None and end is not None and time.monotonic() >= end:
            raise WaitTimedOut(
                f"job {job_id} is still {state} after {round(timeout_s, 1):g} s; "
                f"it {progress.outlook}"
            )
        time.sleep(look_s)


def _look(connection: Connection, job_id: int, shown: "_Shown") -> Progress:
    database = connection.database
    # The order matters. The state is read before the epochs, so that no epoch of an ended job is
    # missing. The document is read after the epochs, so that its best model is not older than they.
    ended = history.state(database, job_id) in FINAL_STATES
    epochs = history.epochs(database, job_id, shown.after)
    job = connection.document(job_id)
    if shown.went_back(job):
        # A new attempt trains epochs again that were already shown: read those too.
        epochs = history.epochs(database, job_id, shown.after)
    waits: WaitsAnswer = {"waits": None, "starts_in_s": None}
    if job["state"] in WAITING:
        waits = live.waits(
            database, job_id, within_s=connection.settings.alive_s, dead=connection.dead
        )
    start = starting.command(connection.settings, job, waits["waits"])
    return Progress(job, epochs, waits["waits"], ended, waits["starts_in_s"], start)


class _Shown:
    """Remembers which epochs were shown, and of which attempt."""

    def __init__(self) -> None:
        self.after = 0
        self._attempt = 0

    def seen(self, progress: Progress) -> None:
        if progress.epochs:
            self.after = progress.epochs[-1]["epoch"]

    def went_back(self, job: JobAnswer) -> bool:
        """Whether a new attempt resumed at an epoch that was already shown.

        If it did, `after` moves back, so that these epochs are shown again.
        """
        executions = job["executions"]
        if not executions or not executions[-1]["started_at"]:
            return False
        last = executions[-1]
        if last["attempt"] == self._attempt:
            return False
        self._attempt = last["attempt"]
        resumed = last["resumed"]
        begins_after = resumed["epoch"] - 1 if resumed else 0
        before, self.after = self.after, min(self.after, begins_after)
        return self.after < before
