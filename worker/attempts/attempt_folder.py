"""What is done with an attempt's folder while it runs, in a thread of its own.

The folder may lie on a server that hangs: whoever waits for it must not be who renews the lease.
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

LOOK_S = 1.0


class AttemptFolder:
    """Ships the log that grows in it, and removes best models that nobody needs any more.

    Args:
        database: where the log goes.
        fence: the attempt that owns the folder.
        log: what the trainer logs; the folder is around it.
        lost: called when the attempt holds the job no longer.
    """

    def __init__(
        self, database: Database, fence: Fence, log: Path, lost: Callable[[], None]
    ) -> None:
        self._fence = fence
        self._lost = lost
        self._folder = log.parent
        self._log = LogShipper(database, fence, log)
        self._lock = threading.Lock()
        # Epochs of best models: none of the first is needed, nor one before the second.
        self._unwanted: list[int] = []
        self._named: int | None = None
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"folder-{fence.job_id}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, however long the folder takes to answer."""
        self._closed.set()
        self._woken.set()
        self._thread.join()

    def outdone(self, epoch: int) -> None:
        """The record names the best model of this epoch: those before it may go."""
        with self._lock:
            self._named = epoch
        self._woken.set()

    def unwanted(self, epoch: int) -> None:
        """The best model of this epoch was outdone before the record could name it."""
        with self._lock:
            self._unwanted.append(epoch)
        self._woken.set()

    def ship(self) -> None:
        """Record what is left of the log, once the thread has ended.

        Raises:
            Fenced: the attempt no longer holds the job.
            DatabaseUnreachable: it does not answer; the same again changes nothing.
        """
        self._log.ship()

    def settle(self) -> None:
        """The record names `best.keras`, or none: all lasting ones may go."""
        attempt_files.remove_outdone(self._folder)

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
            attempt_files.remove_outdone(self._folder, named)
        try:
            self._log.ship()
        except DatabaseUnreachable:
            # The lease says so; what is not shipped now is shipped later.
            pass
        except Fenced:
            self._closed.set()
            self._lost()
        except Exception:
            log.exception("job %d/%d: its log", self._fence.job_id, self._fence.attempt)
