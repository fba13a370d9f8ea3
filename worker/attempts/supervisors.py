"""The supervisors of a worker, and which of them are free."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fornada.db.queue.workers import WorkerFacts
from fornada.db.states import WorkerState
from fornada.worker.attempts.supervisor import Supervisor
from fornada.worker.context import WorkerContext
from fornada.worker.slots import slots
from fornada.worker.slots.slots import Slot


class Supervisors:
    """One supervisor for each slot. A thread that got a wake-up borrows a free supervisor.

    Args:
        slots: slots that are locked for this worker.
        context: what the supervisors share.
    """

    def __init__(self, slots: Sequence[Slot], context: WorkerContext) -> None:
        self.context = context
        self.all = tuple(Supervisor(slot, context) for slot in slots)
        self._free = list(self.all)
        # Called when a slot becomes free.
        self._freed: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def idle(self) -> int:
        """How many slots are free."""
        with self._lock:
            return len(self._free)

    def has_room(self) -> bool:
        """Whether a wake-up would find a free slot."""
        return not self.context.draining.is_set() and self.idle() > 0

    def takes_wake_ups(self) -> bool:
        """Whether a wake-up would lead to a claim. Other workers take those that stay in Redis."""
        return self.has_room() and self.context.fitness.takes_wake_ups()

    def slot_state(self) -> tuple[int, float | None]:
        """State of the slots for the heartbeat.

        Returns:
            How many slots run a job; and the earliest of the times when the idle slots last asked
            for a job, None without an idle slot.
        """
        asked = [each.looked for each in self.all if each.job is None]
        return len(self.all) - len(asked), min(asked, default=None)

    def facts(self) -> WorkerFacts:
        """The worker as it is now, for its row in the database."""
        context = self.context
        state = WorkerState.IDLE if self.idle() else WorkerState.BUSY
        busy = {each.slot.name: each.job for each in self.all if each.job is not None}
        return WorkerFacts(
            name=context.name,
            host=context.host,
            pid=os.getpid(),
            slots=slots.facts([each.slot for each in self.all], busy),
            queues=list(context.queues),
            devices=[each.slot.device.model or each.slot.name for each in self.all],
            versions=context.versions,
            state=WorkerState.DRAINING if context.draining.is_set() else state,
            unfit=context.fitness.problem,
        )

    def when_freed(self, call: Callable[[], None]) -> None:
        """Call `call` whenever a slot becomes free, in the thread that freed it."""
        self._freed = call

    def run_jobs(self) -> None:
        """Let a free supervisor claim jobs and run them until no job is left.

        A free GPU slot tries first, then a free CPU slot: each may find a job that the other kind
        may not run.
        """
        for gpu in (True, False):
            with self._borrowed(gpu) as supervisor:
                if supervisor is not None and supervisor.work():
                    return

    @contextmanager
    def _borrowed(self, gpu: bool) -> Iterator[Supervisor | None]:
        with self._lock:
            found = next((each for each in self._free if each.slot.has_gpu is gpu), None)
            if found is not None:
                self._free.remove(found)
        try:
            yield found
        finally:
            if found is not None:
                with self._lock:
                    self._free.append(found)
                if self._freed is not None:
                    self._freed()
