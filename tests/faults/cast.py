"""The jobs of chaos: what they are, what people asked of them, and how each has to end."""

from dataclasses import dataclass, field
from typing import Any

from fornada.db.states import JobState
from tests.faults.real import real_job
from tests.faults.stage import REAL_QUEUE, chosen
from tests.worker_process import stub_job

# So many that no schedule uses them up, but for those that crash at each start.
TRIES = 40
STUBS = ("fine", "wait-5", "wait-10", "wait-25", "wait-50", "chatter-3000", "crash-1", "crash")
SEEDS = (1, 2)


@dataclass
class Part:
    """One job."""

    name: str
    uid: str
    # None when nobody heard whether it was accepted.
    job_id: int | None = None
    after: int | None = None
    # Of a real one, which of the two.
    seed: int | None = None
    # What people asked, and what they were told: a state, None when they did not hear.
    asked: list[tuple[str, JobState | None]] = field(default_factory=list)

    def may_end(self) -> set[str]:
        """The final states that keep every word that was given."""
        natural = {"failed" if self.name == "crash" else "succeeded"}
        if self.after is not None:
            # With the one that it waited for.
            natural.add("cancelled")
        allowed = natural
        for what, heard in self.asked:
            if what == "cancel":
                allowed = {"cancelled"} | (allowed if heard is None else set())
            elif heard is None:
                allowed = allowed | natural
            else:
                allowed = natural
        return allowed


def stub(pick: float, queue: str, after: int | None = None) -> tuple[Part, Any]:
    """A job for stub trainers, and its row."""
    name = chosen(STUBS, pick)
    tries = 3 if name == "crash" else TRIES
    needs = () if after is None else (after,)
    new = stub_job(name, queue, retry_attempts=tries, after=needs)
    return Part(name, new.uid, after=after), new


def real(pick: float) -> tuple[Part, Any]:
    """A job for real trainers, and its row."""
    seed = chosen(SEEDS, pick)
    new = real_job(REAL_QUEUE, seed, TRIES)
    return Part(f"real-{seed}", new.uid, seed=seed), new


def epochs_of(name: str) -> int:
    """How many epochs a stub trains that ends by itself."""
    kind, _, argument = name.partition("-")
    return int(argument) if kind == "wait" else 2
