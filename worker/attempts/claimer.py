"""How a slot claims its next job in the database, also when an answer is lost on the way."""

import logging

from fornada.db.errors import DatabaseUnreachable, Fenced
from fornada.db.queue import attempts, claims
from fornada.db.records import Claim, Fence
from fornada.worker.context import WorkerContext
from fornada.worker.slots.slots import Slot

log = logging.getLogger("fornada.worker")


class Claimer:
    """Claims jobs for one slot. The slot runs no job when `next` is called."""

    def __init__(self, slot: Slot, context: WorkerContext) -> None:
        self._slot = slot
        self._context = context
        # Whether the last claim got no answer: the database may have committed it all the same.
        self._in_doubt = False
        # Attempts that ended here, but may still be running in the database.
        self._unended: set[Fence] = set()

    def next(self) -> Claim | None:
        """Claim the best job that the slot can run; None without such a job or an answer."""
        try:
            if self._in_doubt and self._holds_unended():
                # `unanswered` would return this attempt again and run it twice under one number.
                return None
            claim = self._unanswered() if self._in_doubt else None
            claim = claim or self._claim_if_fit()
        except DatabaseUnreachable as exc:
            # The next round of upkeep tries again.
            log.warning("slot %s: no claim: %s", self._slot.name, exc)
            self._in_doubt = True
            return None
        self._in_doubt = False
        return claim

    def unended(self, claim: Claim) -> None:
        """Remember an attempt whose end could not be recorded; its lease will expire."""
        self._unended.add(claim.fence)

    def _holds_unended(self) -> bool:
        for fence in tuple(self._unended):
            try:
                attempts.requests(self._context.database, fence)
            except Fenced:
                self._unended.discard(fence)
        return bool(self._unended)

    def _claim_if_fit(self) -> Claim | None:
        fitness, claim = self._context.fitness, None
        if not fitness.may_claim(self._slot.name):
            return None
        try:
            claim = self._claim()
        finally:
            fitness.claimed(self._slot.name, claim)
        return claim

    def _claim(self) -> Claim | None:
        context, settings = self._context, self._context.settings
        return claims.claim(
            context.database,
            worker=context.name,
            host=context.host,
            slot=self._slot.name,
            queues=context.queues,
            has_gpu=self._slot.has_gpu,
            lease_s=settings.lease_s,
            within_s=settings.alive_s,
        )

    def _unanswered(self) -> Claim | None:
        context = self._context
        claim = claims.unanswered(
            context.database,
            worker=context.name,
            slot=self._slot.name,
            lease_s=context.settings.lease_s,
        )
        if claim is not None:
            log.info("job %d/%d: claimed, though the answer was lost", claim.job_id, claim.attempt)
        return claim
