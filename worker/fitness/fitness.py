"""Whether a worker may claim a job now, as far as its host is concerned."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

from fornada.db.queue.verdicts import HOST_FAILURES
from fornada.db.records import Claim, Fence, Verdict
from fornada.db.states import AttemptOutcome, FailureCode
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.fitness import data_check
from fornada.worker.fitness.artifacts_check import ArtifactsCheck
from fornada.worker.fitness.failures_in_a_row import FailuresInARow, cause
from fornada.worker.fitness.patient_look import PatientLook
from fornada.worker.host.heartbeat_file import HomeOfWorker

log = logging.getLogger("fornada.worker")

# Failures that have their cause in the host if the host is found unfit. DATA_MISSING: the data root
# may not be mounted. INTERNAL: the supervisor may have failed to read what the trainer left.
_OF_HOST = HOST_FAILURES | {FailureCode.CRASHED, FailureCode.DATA_MISSING, FailureCode.INTERNAL}
# Outcomes that may have their cause in the host.
_FAILED = frozenset({AttemptOutcome.FAILED, AttemptOutcome.CRASHED})


class Fitness:
    """Looks at the host before each claim and in each round of upkeep; counts failures in a row.

    It logs when the host becomes unfit to run jobs, and when it is fit again. Many threads may use
    it.

    Args:
        settings: settings of the worker.
        database: database of the worker.
        worker: name of the worker.
        slots: names of its slots.
        home: of the worker, as it was when the worker took its name.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        worker: str,
        slots: Sequence[str],
        home: HomeOfWorker,
    ) -> None:
        self._settings = settings
        self._database = database
        self._worker = worker
        self._home = home
        self._look: PatientLook | None = None
        # What the last look found.
        self._seen: str | None = None
        # Whether the data of a job were missing, and the data root has not been found in order
        # since.
        self._data_missing = False
        self._in_a_row = FailuresInARow(settings.retry_pause_s)
        # One slot may fail while others work, for example because its GPU is broken.
        self._of_slot = {name: FailuresInARow(settings.retry_pause_s) for name in slots}
        # What was logged last of the worker, by the key None, and of each slot.
        self._logged: dict[str | None, str | None] = {}
        self._lock = threading.Lock()

    @property
    def problem(self) -> str | None:
        """Why the worker takes no jobs; None if at least one of its slots does."""
        each = [row.problem for row in self._of_slot.values()]
        all_slots = None if None in each else next(iter(each), None)
        return self._seen or self._in_a_row.problem or all_slots

    def begin(self, fleet: str | None) -> None:
        """Look from now on.

        Args:
            fleet: uid of the database.
        """
        check = ArtifactsCheck(self._settings, self._database, fleet or "", self._worker)
        self._look = PatientLook(
            lambda: self._home_problem() or check.problem() or self._data_problem(), check.hangs
        )

    def look(self) -> str | None:
        """Look at the host now.

        Returns:
            Why it cannot run a job, and what to do about it; None if it can, as far as one sees.
        """
        self._seen = None if self._look is None else self._look()
        self._tell()
        return self._seen

    @property
    def record_is_gone(self) -> bool:
        """Whether the database of an embedded stack is gone, with its home."""
        return self._settings.embedded and not (self._settings.home / "fornada.db").exists()

    def takes_wake_ups(self) -> bool:
        """Whether a wake-up would lead to a claim. Other workers take those that stay in Redis."""
        return self._seen is None and self._in_a_row.ready()

    def may_claim(self, slot: str) -> bool:
        """Whether a slot may claim a job now. Then the caller calls `claimed`."""
        if self.look() is not None or not self._in_a_row.may_try():
            return False
        if self._of_slot[slot].may_try():
            return True
        self._in_a_row.claimed(None)
        return False

    def claimed(self, slot: str, claim: Claim | None) -> None:
        """Tell which job a slot has claimed; None if it has claimed none."""
        for row in self._rows(slot):
            row.claimed(None if claim is None else claim.fence)

    def trained(self, slot: str) -> None:
        """Tell that an attempt on a slot has trained its first epoch."""
        for row in self._rows(slot):
            row.trained()
        self._tell()

    def judged(self, slot: str, claim: Claim, verdict: Verdict, *, trained: bool) -> Verdict:
        """The verdict on an attempt, in view of the host.

        An attempt that failed before it trained an epoch does not count as one of the job's tries
        if a look finds that the host cannot run jobs.

        Args:
            slot: where the attempt ran.
            claim: the attempt.
            verdict: the verdict on what the trainer said and left.
            trained: whether the attempt has trained an epoch.
        """
        failure = verdict.failure
        if trained or failure is None or verdict.outcome not in _FAILED:
            self._ended(slot, claim.fence)
            return verdict
        if failure.code is FailureCode.DATA_MISSING:
            self._data_missing = True
        if self.look() is not None and failure.code in _OF_HOST:
            self._ended(slot, claim.fence)
            return replace(verdict, counts=False)
        what = cause(claim, failure)
        if what is None:
            self._ended(slot, claim.fence)
            return verdict
        for row in self._rows(slot):
            row.failed(claim.fence, what, failure)
        self._tell()
        return verdict

    def _rows(self, slot: str) -> tuple[FailuresInARow, FailuresInARow]:
        return self._in_a_row, self._of_slot[slot]

    def _ended(self, slot: str, fence: Fence) -> None:
        for row in self._rows(slot):
            row.ended(fence)

    def _home_problem(self) -> str | None:
        """What is wrong with the home. A full one is in nobody's way once the worker runs."""
        if self._home.intact:
            return None
        return f"the home {self._settings.home} is gone or was replaced: put it back, or create it"

    def _data_problem(self) -> str | None:
        if not self._data_missing:
            return None
        found = data_check.problem(self._settings.data_root_path)
        self._data_missing = found is not None
        return found

    def _tell(self) -> None:
        """Log what has changed: of the worker, and of one slot of several."""
        problem = self.problem
        self._log(None, "this worker", problem)
        for slot, row in self._of_slot.items():
            # A worker that takes no jobs has said so already.
            if problem is None or self._logged.get(slot) is not None:
                self._log(slot, f"slot {slot}", row.problem)

    def _log(self, key: str | None, who: str, problem: str | None) -> None:
        with self._lock:
            before, self._logged[key] = self._logged.get(key), problem
        if problem is not None and before is None:
            log.error("%s takes no jobs: %s", who, problem)
        elif problem is None and before is not None:
            log.info("%s takes jobs again", who)
