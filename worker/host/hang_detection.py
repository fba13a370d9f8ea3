"""Whether a Celery process hangs: what its pulse must show, and for how long it may not.

The same facts for the parent, which watches, and for a health check, which looks once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fornada.worker.host.heartbeat_file import Beat, Doing

# How often the parent looks.
LOOK_S = 1.0
# The pulse is a thread of its own that waits for nobody; a busy host delays it by seconds.
SILENT_S = 30.0
# Before the first pulse: importing Celery from a cold disk that all processes read from.
STARTING_S = 300.0
# Of the loop: four times what a hung Redis may hold it (`socket_timeout`), and twice the longest
# pause between two of kombu's attempts to connect.
LOOP_S = 60.0
# Of a round of upkeep, or of an idle slot's look at the database: each of their calls ends within
# 20 s, also when database and Redis hang.
ROUND_S = 300.0
# A round may also be late because rounds are rare.
ROUNDS = 10


@dataclass(frozen=True)
class Fact:
    """One thing that has to change within a time; it need not while the moment is None."""

    says: str
    moment: float | None
    limit_s: float


def facts(pulse: Beat | None) -> Iterator[Fact]:
    """What a pulse says, and what has to change."""
    if pulse is None:
        yield Fact("it has not come up", 0.0, STARTING_S)
        return
    round_s = max(ROUND_S, ROUNDS * pulse.upkeep_s)
    yield Fact("the process does not stir", pulse.at, SILENT_S)
    if pulse.doing is Doing.CONNECTING:
        yield Fact("it does not connect to a Redis that answers", pulse.loop, LOOP_S)
    else:
        yield Fact("the loop that takes wake-ups hangs", pulse.loop, LOOP_S)
    yield Fact("upkeep hangs", pulse.beat, round_s)
    yield Fact("an idle slot takes nothing", pulse.look, round_s)


class HangDetector:
    """Counts how long each fact has stood still, in seconds that the parent itself was awake.

    By the clock a host that was suspended, or starved, would have been silent for long.
    """

    def __init__(self) -> None:
        self._still: dict[str, tuple[float | None, float]] = {}

    def look(self, pulse: Beat | None, passed_s: float) -> str | None:
        """Look again.

        Args:
            pulse: of the process that is watched; None before its first.
            passed_s: since the last look.
        Returns:
            What hangs; None when nothing does.
        """
        awake_s = min(passed_s, 2 * LOOK_S)
        still = {}
        for fact in facts(pulse):
            before, seconds = self._still.get(fact.says, (None, 0.0))
            changed = fact.moment is None or fact.moment != before
            still[fact.says] = (fact.moment, 0.0 if changed else seconds + awake_s)
        self._still = still
        limits = {fact.says: fact.limit_s for fact in facts(pulse)}
        return next((says for says, (_, s) in still.items() if s > limits[says]), None)
