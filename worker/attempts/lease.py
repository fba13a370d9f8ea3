"""The lease of an attempt: a thread that renews it and writes what the trainer reported.

All SQL of a running attempt happens in this thread. The supervisor only leaves its reports here
and reads two attributes, so a database that hangs delays neither the reading of messages nor the
stopping of the trainer. Work on files has another thread, in
`fornada.worker.attempts.attempt_folder`, so a disk that hangs delays no renewal.
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

# Seconds between two readings of the job's row, which may have a request to cancel.
LOOK_S = 1.0
# If the lease cannot be renewed for this share of its length, although the database answers, the
# attempt ends. So it ends before the lease expires by the database's clock, even if the two clocks
# do not run at exactly the same speed.
GIVE_UP = 0.75


class Lease:
    """Renews the lease, reads requests, writes what the trainer reported and logged.

    Args:
        database: where the job is.
        fence: the attempt that holds the job.
        log: the trainer's log file.
        lease_s: seconds that the lease lasts after each renewal.
        heartbeat_s: seconds between two renewals.
    """

    def __init__(
        self, database: Database, fence: Fence, log: Path, *, lease_s: float, heartbeat_s: float
    ) -> None:
        # Other threads set `requests` and `over`; the supervisor's thread only reads them.
        self.requests = Requests(cancel=False)
        # Whether the attempt has lost the job: then end the trainer and write nothing.
        self.over = False
        self._database = database
        self._fence = fence
        self._folder = AttemptFolder(database, fence, log, self._lost)
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._confirmed = time.monotonic()
        # When a round last succeeded, or failed only because the database did not answer.
        self._well = self._confirmed
        self._renew_at = self._confirmed + heartbeat_s
        # Not at once: the claim has just read the row.
        self._look_at = self._confirmed + LOOK_S
        # Whether the last round got no answer from the database.
        self._away = False
        self._lock = threading.Lock()
        self._facts: StartedFacts | None = None
        self._epochs: dict[int, EpochRow] = {}
        # The last epoch that was sent to the database, which may have recorded it.
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
        """Record an epoch; it waits here while the database does not answer."""
        with self._lock:
            if row.best is not None:
                self._drop_earlier_bests()
            self._epochs[row.number] = row
        self._woken.set()

    def finish(self, verdict: Verdict, *, pause_s: float) -> JobState | None:
        """Record all that waits here, then the verdict; wait until the database answers.

        Args:
            verdict: verdict on the attempt, whose trainer has ended.
            pause_s: pause before the job's first retry, if it is retried.
        Returns:
            The job's state afterwards; None when the attempt no longer holds the job.
        """
        # A disk that hangs or a long log may take time. The lease is renewed until `_close`.
        self._folder.close()
        while not self.over:
            try:
                self._folder.ship()
                self._close()
                self._write()
                state = verdicts.finish(self._database, self._fence, verdict, pause_s=pause_s)
            except Fenced:
                # The job was lost, or an earlier try committed the verdict and its answer was lost.
                self.over = True
            except DatabaseUnreachable:
                self._report_away()
                time.sleep(LOOK_S)
            else:
                self._folder.remove_all_kept()
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
            # Confirm first: after an outage, or a pause of this process, nothing may be written
            # before the database has confirmed that the attempt still holds the job.
            self._confirm()
            self._write()
        except DatabaseUnreachable:
            # Perhaps only this worker cannot reach the database, and another may take the job. The
            # trainer goes on; `_confirm` finds out when the database answers.
            self._well = time.monotonic()
            self._report_away()
        except Fenced:
            self.over = True
        except Exception:
            log.exception("job %d/%d: not recorded; trying again", *self._name)
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
        """Record the reports that wait here."""
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
                # Only now: if this attempt loses the job, the model that the database names must
                # still exist.
                self._folder.remove_before(max(bests))
            with self._lock:
                for number in epochs:
                    del self._epochs[number]

    def _drop_earlier_bests(self) -> None:
        """Remove earlier best models that were never sent to the database.

        Without this they would fill the disk while the database does not answer.
        """
        for number, row in self._epochs.items():
            if row.best is not None and number > self._sent:
                self._folder.remove_best(row.best.epoch)
                self._epochs[number] = replace(row, best=None)

    def _report_away(self) -> None:
        if not self._away:
            log.warning("job %d/%d: the database does not answer; training goes on", *self._name)
        self._away = True

    def _report_back(self) -> None:
        if self._away:
            log.info(
                "job %d/%d: the database answers again; this attempt still holds the job",
                *self._name,
            )
        self._away = False

    @property
    def _name(self) -> tuple[int, int]:
        return self._fence.job_id, self._fence.attempt
