"""A slot's supervisor: it claims a job, runs an attempt at it, then claims the next."""

import time

from fornada.db.records import Claim
from fornada.worker.attempts.attempt import Attempt
from fornada.worker.attempts.claimer import Claimer
from fornada.worker.context import WorkerContext
from fornada.worker.slots.slots import Slot


class Supervisor:
    """Runs jobs on one slot, one at a time, in the thread that calls it."""

    def __init__(self, slot: Slot, context: WorkerContext) -> None:
        self.slot = slot
        # Id of the job that runs here now.
        self.job: int | None = None
        # When it last asked the database for a job, by the monotonic clock.
        self.looked = time.monotonic()
        self._context = context
        self._claimer = Claimer(slot, context)

    def work(self) -> bool:
        """Claim jobs and run them until nothing is left for this slot, or the worker drains.

        Returns:
            Whether it ran at least one job.
        """
        worked = False
        try:
            while not self._context.draining.is_set() and (claim := self._claim()) is not None:
                self._run(claim)
                worked = True
        finally:
            self.job = None
        return worked

    def _claim(self) -> Claim | None:
        claim = self._claimer.next()
        self.looked = time.monotonic()
        self.job = None if claim is None else claim.job_id
        return claim

    def _run(self, claim: Claim) -> None:
        state = None
        try:
            state = Attempt(claim, self.slot, self._context).run()
        finally:
            if state is None:
                self._claimer.unended(claim)
