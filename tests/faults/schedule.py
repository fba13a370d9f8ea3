"""A random schedule of faults and jobs: the same seed and length, the same schedule."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Seconds between two things that happen, on average.
PAUSE_S = 1.2
# How often each comes, among all.
WEIGHTS: Mapping[str, int] = {
    "submit": 24,
    "submit_real": 5,
    "submit_after": 2,
    "kill_trainer": 9,
    "kill_celery": 4,
    "kill_parent": 3,
    "freeze": 3,
    "drain": 3,
    "drain_twice": 2,
    "drain_from_afar": 2,
    "redis_killed": 3,
    "redis_hung": 2,
    "database_killed": 3,
    "database_hung": 2,
    "database_cut": 3,
    "commit_cut": 6,
    "cancel": 5,
    "hold": 3,
    "release": 3,
    "move": 2,
    "retry": 4,
    "duplicate": 3,
    "garbage": 3,
    "jobs_locked": 2,
}
# How long what has an end lasts, in seconds: up to more than a lease.
LASTS_S: Mapping[str, tuple[float, float]] = {
    "freeze": (1.0, 13.0),
    "redis_killed": (0.0, 8.0),
    "redis_hung": (1.0, 8.0),
    "database_killed": (0.0, 12.0),
    "database_hung": (1.0, 12.0),
    "database_cut": (0.0, 12.0),
    "jobs_locked": (1.0, 12.0),
}


@dataclass(frozen=True)
class Happening:
    """One thing that happens."""

    at_s: float
    kind: str
    # Which of those that are there then: 0 is the first, just below 1 the last.
    pick: float
    # A second choice, of what the kind needs one for.
    pick_more: float
    lasts_s: float

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:7.1f} s  {self.kind}{lasts} ({self.pick:.3f}, {self.pick_more:.3f})"


def schedule(seed: int, seconds: float) -> list[Happening]:
    """All that happens in so many seconds, in order."""
    return list(_happenings(random.Random(seed), seconds))


def _happenings(rng: random.Random, seconds: float) -> Iterator[Happening]:
    at_s = 0.0
    # Something to do for everybody before the first fault.
    for kind in ("submit_real", "submit", "submit", "submit"):
        yield Happening(at_s, kind, rng.random(), rng.random(), 0.0)
    while True:
        at_s += rng.expovariate(1 / PAUSE_S)
        if at_s > seconds:
            return
        (kind,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        lasts_s = rng.uniform(*LASTS_S.get(kind, (0.0, 0.0)))
        yield Happening(at_s, kind, rng.random(), rng.random(), lasts_s)
