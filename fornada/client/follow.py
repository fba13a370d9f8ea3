"""Seeing a job to its end."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fornada.client.connection import Connection
from fornada.db.errors import DatabaseUnreachable
from fornada.db.reads import history, live
from fornada.db.reasons import Reason
from fornada.db.states import FINAL_STATES, JobState
from fornada.errors import WaitTimedOut
from fornada.patience import Patience, Tell, outage, say_nothing

# Seconds between two looks at a job: an epoch is in the database within two.
LOOK_S = 0.5
WAITING = (JobState.QUEUED, JobState.HELD)


@dataclass(frozen=True)
class Sight:
    """A job as it was seen at one moment.

    Args:
        job: the document of `fornada show --json`.
        epochs: those that are new since the sight before; some may come again, when a new attempt
            goes back to where the last good state was.
        waits: why a job that waits is not running.
        final: whether this is the last sight: no worker will move the job any more.
        starts_in_s: an estimate for a job that waits, where the history allows one.
    """

    job: dict[str, Any]
    epochs: list[dict[str, Any]]
    waits: Reason | None
    final: bool
    starts_in_s: float | None = None


def follow(
    connection: Connection,
    job_id: int,
    *,
    timeout_s: float | None = None,
    look_s: float = LOOK_S,
    tell: Tell = say_nothing,
) -> Iterator[Sight]:
    """See a job again and again until it is final; see `Client.follow`.

    Raises:
        WaitTimedOut: it was not final in time.
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    ask = Patience(tell, end)
    shown = _Shown()
    state = "not seen"
    while True:
        try:
            sight = ask(lambda: _sight(connection, job_id, shown))
        except DatabaseUnreachable as error:
            raise WaitTimedOut(f"job {job_id} was last {state}; {outage(error)}") from error
        state = sight.job["state"]
        shown.seen(sight)
        yield sight
        if sight.final:
            return
        if state in FINAL_STATES:
            # It ended while we looked: once more, for epochs that came meanwhile.
            continue
        if timeout_s is not None and end is not None and time.monotonic() >= end:
            raise WaitTimedOut(
                f"job {job_id} is still {state} after {round(timeout_s, 1):g} s; it goes on"
            )
        time.sleep(look_s)


def _sight(connection: Connection, job_id: int, shown: "_Shown") -> Sight:
    database = connection.database
    # The end first, then the epochs, so that none is missing at the end; the job after the epochs,
    # so that its best model is of the epoch that is shown.
    ended = history.state(database, job_id) in FINAL_STATES
    epochs = history.epochs(database, job_id, shown.after)
    job = connection.document(job_id)
    if shown.went_back(job):
        # Run again by the attempt that has begun since.
        epochs = history.epochs(database, job_id, shown.after)
    waits: Mapping[str, Any] = {}
    if job["state"] in WAITING:
        waits = live.waits(database, job_id, within_s=connection.settings.alive_s)
    return Sight(job, epochs, waits.get("waits"), ended, waits.get("starts_in_s"))


class _Shown:
    """Which epochs were shown, of which attempt."""

    def __init__(self) -> None:
        self.after = 0
        self._attempt = 0

    def seen(self, sight: Sight) -> None:
        if sight.epochs:
            self.after = sight.epochs[-1]["epoch"]

    def went_back(self, job: Mapping[str, Any]) -> bool:
        """Whether another attempt has begun before the epochs that were shown."""
        executions = job["executions"]
        if not executions or not executions[-1]["started_at"]:
            return False
        last = executions[-1]
        if last["attempt"] == self._attempt:
            return False
        self._attempt = last["attempt"]
        begins_after = max(0, (last.get("resumed") or {}).get("epoch", 1) - 1)
        before, self.after = self.after, min(self.after, begins_after)
        return self.after < before
