"""What is done with an attempt's folder while the attempt runs, in a thread of its own.

The folder may lie on a file server that hangs. A thread that waits for it must not be the thread
that renews the lease.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from fornada.db.errors import DatabaseUnreachable, Fenced
from fornada.db.records import Fence
from fornada.db.store.session import Database
from fornada.worker import attempt_files
from fornada.worker.attempts.log_shipping import LogShipper

log = logging.getLogger("fornada.worker")

# Seconds between two looks for new log lines.
LOOK_S = 1.0


class AttemptFolder:
    """Records the log's new lines in the database, and removes best models that are not needed.

    Args:
        database: where the log goes.
        fence: the attempt that owns the folder.
        log: the trainer's log file, which lies in the folder.
        lost: called when the attempt no longer holds the job.
    """

    def __init__(
        self, database: Database, fence: Fence, log: Path, lost: Callable[[], None]
    ) -> None:
        self._fence = fence
        self._lost = lost
        self._folder = log.parent
        self._log = LogShipper(database, fence, log)
        self._lock = threading.Lock()
        # Epochs whose best models are to be removed.
        self._unwanted: list[int] = []
        # Epoch of the best model that the database names; those of earlier epochs are removed.
        # None when there is nothing new to remove.
        self._named: int | None = None
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"folder-{fence.job_id}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it, however long the file server takes to answer."""
        self._closed.set()
        self._woken.set()
        self._thread.join()

    def remove_before(self, epoch: int) -> None:
        """Remove the best models of earlier epochs: the database names the one of this epoch."""
        with self._lock:
            self._named = epoch
        self._woken.set()

    def remove_best(self, epoch: int) -> None:
        """Remove the best model of this epoch: a better one came before the database named it."""
        with self._lock:
            self._unwanted.append(epoch)
        self._woken.set()

    def ship(self) -> None:
        """Record the rest of the log. Call it after `close`.

        Raises:
            Fenced: the attempt no longer holds the job.
            DatabaseUnreachable: the database does not answer; calling again is safe.
        """
        self._log.ship()

    def remove_all_kept(self) -> None:
        """Remove all `lasting` files: the database now names `best.keras`, or no best model."""
        attempt_files.remove_earlier(self._folder)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._round()
            self._woken.wait(LOOK_S)
            self._woken.clear()

    def _round(self) -> None:
        with self._lock:
            unwanted, self._unwanted = self._unwanted, []
            named, self._named = self._named, None
        for epoch in unwanted:
            attempt_files.remove(attempt_files.lasting(self._folder, epoch))
        if named is not None:
            attempt_files.remove_earlier(self._folder, named)
        try:
            self._log.ship()
        except DatabaseUnreachable:
            # The lease logs it. What is not shipped now is shipped later.
            pass
        except Fenced:
            self._closed.set()
            self._lost()
        except Exception:
            log.exception(
                "job %d/%d: its log was not recorded", self._fence.job_id, self._fence.attempt
            )
