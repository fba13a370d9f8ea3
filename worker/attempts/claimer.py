"""How a slot gets its next job from the record, also when an answer is lost on the way."""

import logging

from fornada.db.errors import DatabaseUnreachable, Fenced
from fornada.db.queue import attempts, claims
from fornada.db.records import Claim, Fence
from fornada.worker.context import Bakery
from fornada.worker.slots.slots import Slot

log = logging.getLogger("fornada.worker")


class Claimer:
    """Claims for one slot, which runs nothing meanwhile."""

    def __init__(self, slot: Slot, bakery: Bakery) -> None:
        self._slot = slot
        self._bakery = bakery
        # The last claim had no answer: it may have been committed all the same.
        self._in_doubt = False
        # Attempts that ended here, and may be running by the record.
        self._unended: set[Fence] = set()

    def next(self) -> Claim | None:
        """The best job that the slot can run; None when there is none, or no answer."""
        try:
            if self._in_doubt and self._holds_unended():
                # It would be taken for what the claim took, and begin again under its number.
                return None
            claim = (self._unanswered() if self._in_doubt else None) or self._claim()
        except DatabaseUnreachable as exc:
            # Upkeep looks again at its next beat.
            log.warning("slot %s: no claim: %s", self._slot.name, exc)
            self._in_doubt = True
            return None
        self._in_doubt = False
        return claim

    def unended(self, claim: Claim) -> None:
        """An attempt is over, and its end could not be recorded: its lease will tell."""
        self._unended.add(claim.fence)

    def _holds_unended(self) -> bool:
        for fence in tuple(self._unended):
            try:
                attempts.requests(self._bakery.database, fence)
            except Fenced:
                self._unended.discard(fence)
        return bool(self._unended)

    def _claim(self) -> Claim | None:
        bakery, settings = self._bakery, self._bakery.settings
        return claims.claim(
            bakery.database,
            worker=bakery.name,
            host=bakery.host,
            slot=self._slot.name,
            queues=bakery.queues,
            has_gpu=self._slot.has_gpu,
            lease_s=settings.lease_s,
            within_s=settings.alive_s,
        )

    def _unanswered(self) -> Claim | None:
        bakery = self._bakery
        claim = claims.unanswered(
            bakery.database,
            worker=bakery.name,
            slot=self._slot.name,
            lease_s=bakery.settings.lease_s,
        )
        if claim is not None:
            log.info("job %d/%d: claimed, though the answer was lost", claim.job_id, claim.attempt)
        return claim
