"""An attempt's right to write, and the thread that keeps it and writes.

All SQL of a running attempt happens here, so that a database that hangs delays neither the relay
nor the ladder: the supervisor leaves what it has and looks at two flags. What waits for files has
a thread of its own, `fornada.worker.attempts.attempt_folder`: a disk that hangs delays no renewal.
"""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Self

from fornada.db.errors import DatabaseUnreachable, Fenced
from fornada.db.queue import attempts, verdicts
from fornada.db.records import EpochRow, Fence, Requests, StartedFacts, Verdict
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.worker.attempts.attempt_folder import AttemptFolder

log = logging.getLogger("fornada.worker")

# A request to cancel is a column of the job's row: it is seen within so many seconds.
LOOK_S = 1.0
# Share of the lease after which an attempt that cannot renew it, for reasons of its own, ends:
# before the lease is over by the database's clock, whatever the two clocks do.
GIVE_UP = 0.75


class Lease:
    """Renews the lease, reads requests, writes what the trainer reported and logged.

    Args:
        database: where the job is.
        fence: the attempt that holds the job.
        log: what the trainer logs.
        lease_s: how long the attempt may go unheard of.
        heartbeat_s: how often it is renewed.
    """

    def __init__(
        self, database: Database, fence: Fence, log: Path, *, lease_s: float, heartbeat_s: float
    ) -> None:
        # Set from outside the supervisor's thread; it only reads them.
        self.requests = Requests(cancel=False)
        # The attempt holds the job no longer: end the trainer, write nothing.
        self.over = False
        self._database = database
        self._fence = fence
        self._folder = AttemptFolder(database, fence, log, self._lost)
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._confirmed = time.monotonic()
        # When a round last went as it should, or failed for what is the database's reason alone.
        self._well = self._confirmed
        self._renew_at = self._confirmed + heartbeat_s
        # As of now: the claim has just told.
        self._look_at = self._confirmed + LOOK_S
        self._away = False
        self._lock = threading.Lock()
        self._facts: StartedFacts | None = None
        self._epochs: dict[int, EpochRow] = {}
        # The last epoch that the database may know of.
        self._sent = 0
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease-{fence.job_id}", daemon=True)

    def started(self, facts: StartedFacts) -> None:
        """Record what the trainer found before its first epoch."""
        with self._lock:
            self._facts = facts
        self._woken.set()

    def epoch(self, row: EpochRow) -> None:
        """Record an epoch; it waits here while the database is away."""
        with self._lock:
            if row.best is not None:
                self._outdo()
            self._epochs[row.number] = row
        self._woken.set()

    def finish(self, verdict: Verdict, *, pause_s: float) -> JobState | None:
        """Record what waits, then the verdict; waits for a database that is away.

        Args:
            verdict: on the attempt, whose trainer has ended.
            pause_s: before its first retry, should there be one.
        Returns:
            What the row says afterwards; None when the attempt holds the job no longer.
        """
        # While these wait, the lease is renewed: for a disk that hangs, for a long log.
        self._folder.close()
        while not self.over:
            try:
                self._folder.ship()
                self._close()
                self._write()
                state = verdicts.finish(self._database, self._fence, verdict, pause_s=pause_s)
            except Fenced:
                # Lost, or finished by a commit whose answer was cut off.
                self.over = True
            except DatabaseUnreachable:
                self._report_away()
                time.sleep(LOOK_S)
            else:
                self._folder.settle()
                return state
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        self._folder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.close()
        self._close()

    def _lost(self) -> None:
        self.over = True

    def _close(self) -> None:
        self._closed.set()
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set() and not self.over:
            self._round()
            self._woken.wait(max(0.0, self._look_at - time.monotonic()))
            self._woken.clear()

    def _round(self) -> None:
        try:
            # First: after an outage, or a pause of this process, nothing is written before the
            # database has confirmed that the attempt still holds the job.
            self._confirm()
            self._write()
        except DatabaseUnreachable:
            # Away for all, or for us alone: the trainer goes on, and the row will tell.
            self._well = time.monotonic()
            self._report_away()
        except Fenced:
            self.over = True
        except Exception:
            log.exception("job %d/%d: not recorded", *self._name)
            since = min(self._confirmed, self._well)
            self.over = time.monotonic() - since > GIVE_UP * self._lease_s
        else:
            self._well = time.monotonic()
            self._report_back()

    def _confirm(self) -> None:
        now = time.monotonic()
        if not self._away and now < min(self._renew_at, self._look_at):
            return
        self._look_at = now + LOOK_S
        if self._away or now >= self._renew_at:
            self.requests = attempts.renew(self._database, self._fence, self._lease_s)
            self._confirmed = now
            self._renew_at = now + self._heartbeat_s
        else:
            self.requests = attempts.requests(self._database, self._fence)

    def _write(self) -> None:
        """Record what waits."""
        with self._lock:
            facts, epochs = self._facts, dict(self._epochs)
            self._sent = max(epochs, default=self._sent)
        if facts is not None:
            attempts.started(self._database, self._fence, facts)
            with self._lock:
                self._facts = None
        if epochs:
            attempts.record_epochs(self._database, self._fence, list(epochs.values()))
            if bests := [row.best.epoch for row in epochs.values() if row.best is not None]:
                # Not before: a lost attempt keeps the best model that the record names.
                self._folder.outdone(max(bests))
            with self._lock:
                for number in epochs:
                    del self._epochs[number]

    def _outdo(self) -> None:
        """Let go of best models that were outdone before the record could name them.

        While the database is away they would fill the disk.
        """
        for number, row in self._epochs.items():
            if row.best is not None and number > self._sent:
                self._folder.unwanted(row.best.epoch)
                self._epochs[number] = replace(row, best=None)

    def _report_away(self) -> None:
        if not self._away:
            log.warning("job %d/%d: the database is away; training goes on", *self._name)
        self._away = True

    def _report_back(self) -> None:
        if self._away:
            log.info("job %d/%d: the database is back, the attempt is confirmed", *self._name)
        self._away = False

    @property
    def _name(self) -> tuple[int, int]:
        return self._fence.job_id, self._fence.attempt
