"""Whether a worker may claim a job now, as far as its host is concerned."""

import logging
import threading
from dataclasses import replace

from fornada.db.records import Verdict
from fornada.db.states import AttemptOutcome
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.fitness.artifacts_check import ArtifactsCheck
from fornada.worker.fitness.patient_look import PatientLook

log = logging.getLogger("fornada.worker")

# Outcomes that may have their cause in the host.
_OF_HOST = frozenset({AttemptOutcome.FAILED, AttemptOutcome.CRASHED})


class Fitness:
    """Looks at the host before each claim and in each round of upkeep.

    It logs when the host becomes unfit to run jobs, and when it is fit again. Many threads may use
    it.

    Args:
        settings: settings of the worker.
        database: database of the worker.
        worker: name of the worker.
    """

    def __init__(self, settings: Settings, database: Database, worker: str) -> None:
        self._settings = settings
        self._database = database
        self._worker = worker
        self._look: PatientLook | None = None
        self._problem: str | None = None
        self._lock = threading.Lock()

    @property
    def problem(self) -> str | None:
        """Why the host could not run a job at the last look; None if it could."""
        return self._problem

    def begin(self, fleet: str | None) -> None:
        """Look from now on.

        Args:
            fleet: uid of the database.
        """
        check = ArtifactsCheck(self._settings, self._database, fleet or "", self._worker)
        self._look = PatientLook(check.problem, check.hangs)

    def look(self) -> str | None:
        """Look at the host now.

        Returns:
            Why it cannot run a job, and what to do about it; None if it can.
        """
        problem = None if self._look is None else self._look()
        with self._lock:
            before, self._problem = self._problem, problem
        if problem is not None and before is None:
            log.error("this worker takes no jobs: %s", problem)
        elif problem is None and before is not None:
            log.info("this worker takes jobs again")
        return problem

    def may_claim(self) -> bool:
        """Whether a slot may claim a job now."""
        return self.look() is None

    def judged(self, verdict: Verdict, *, trained: bool) -> Verdict:
        """The verdict on an attempt, in view of the host.

        An attempt that failed before it trained an epoch does not count as one of the job's tries
        if the host cannot run jobs.

        Args:
            verdict: the verdict on what the trainer said and left.
            trained: whether the attempt has trained an epoch.
        """
        if trained or verdict.outcome not in _OF_HOST or self.look() is None:
            return verdict
        return replace(verdict, counts=False)
