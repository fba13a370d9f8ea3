"""Counts jobs that fail in a row before their first epoch, for reasons that the host may have.

A host that fails each job at once would take, and fail, all jobs of its queues. So after a few such
jobs it takes none, and then one at a time after a pause that grows, until a job trains an epoch.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

from fornada.db.queue.verdicts import pause_after
from fornada.db.records import Claim, Failure, Fence
from fornada.db.states import FailureCode

# A host with so many failures in a row takes no more jobs for a while. Two jobs that are wrong by
# themselves often come one after the other.
LIMIT = 3
# Failures to write: no spec can cause them.
_WRITING = frozenset({FailureCode.ARTIFACT_WRITE, FailureCode.DISK_FULL})
# Failures that a spec may cause too. Those of equal specs count once.
_ANY = frozenset(
    {FailureCode.CRASHED, FailureCode.HOST_OOM, FailureCode.GPU_OOM, FailureCode.INTERNAL}
)
# Parts of a spec that change nothing in the training.
_NAMES = frozenset({"name", "tags"})


def cause(claim: Claim, failure: Failure) -> str | None:
    """What failed here, for a failure that the host may have caused; None for another failure.

    Equal causes count once: a spec that is wrong by itself may be submitted many times.
    """
    spec = claim.spec if isinstance(claim.spec, dict) else {}
    if failure.code in _WRITING:
        return claim.uid
    if failure.code in _ANY:
        return _digest({key: value for key, value in spec.items() if key not in _NAMES})
    # Not DATA_MISSING: anybody may name folders that do not exist. The look at the data root tells
    # when it is not mounted.
    return None


class FailuresInARow:
    """Whether the failures in a row let a worker, or one slot of it, claim a job. Thread-safe.

    Args:
        pause_s: seconds until the first try. The pauses grow as those of a job's retries do.
        clock: the time in seconds.
    """

    def __init__(self, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._causes: set[str] = set()
        self._last: Failure | None = None
        # How many jobs have failed since there were too many; 0 while any job may be claimed.
        self._tries = 0
        self._again_at = 0.0
        # Whether a slot claims the one job that may be tried, and that job.
        self._trying = False
        self._tried: Fence | None = None

    @property
    def problem(self) -> str | None:
        """Why no job is claimed, or only one at a time; None while there are not too many."""
        with self._lock:
            if not self._tries or self._last is None:
                return None
            first, _, _ = self._last.message.partition("\n")
            return (
                f"{len(self._causes)} jobs in a row failed before their first epoch, the last one "
                f"with {self._last.code}: {first}"
            )

    def ready(self) -> bool:
        """Whether a job may be claimed now."""
        with self._lock:
            return self._ready()

    def may_try(self) -> bool:
        """Whether the caller may claim a job now. Then it calls `claimed`."""
        with self._lock:
            if not self._ready():
                return False
            self._trying = self._tries > 0
            return True

    def claimed(self, fence: Fence | None) -> None:
        """Tell which job the caller of `may_try` has claimed; None if it has claimed none."""
        with self._lock:
            if self._trying and self._tried is None:
                self._tried = fence
                self._trying = fence is not None

    def failed(self, fence: Fence, what: str, failure: Failure) -> None:
        """Count an attempt that failed before its first epoch.

        Args:
            fence: the attempt.
            what: see `cause`.
            failure: its failure.
        """
        with self._lock:
            self._causes.add(what)
            self._last = failure
            if self._tries == 0:
                if len(self._causes) >= LIMIT:
                    self._pause(1)
            elif fence == self._tried:
                self._pause(self._tries + 1)

    def ended(self, fence: Fence) -> None:
        """Tell of an attempt that says nothing about the host: the next job may be tried."""
        with self._lock:
            if fence == self._tried:
                self._trying, self._tried = False, None

    def trained(self) -> None:
        """Tell that an attempt has trained its first epoch."""
        with self._lock:
            self._causes.clear()
            self._tries, self._trying, self._tried = 0, False, None

    def _ready(self) -> bool:
        return not self._tries or (not self._trying and self._clock() >= self._again_at)

    def _pause(self, tries: int) -> None:
        self._tries, self._trying, self._tried = tries, False, None
        self._again_at = self._clock() + pause_after(tries, self._pause_s)


def _digest(part: Any) -> str:
    # Whoever pushes a spec into a queue may push anything that is JSON.
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()
