"""Whether a Celery process hangs: which moments in its heartbeat must change, and how often.

The parent checks these facts all the time; a health check does it once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fornada.worker.host.heartbeat_file import Beat, Doing

# How often the parent looks.
LOOK_S = 1.0
# Longest time without a heartbeat. Its thread waits for no other, but a busy host may delay it by
# seconds.
SILENT_S = 30.0
# Longest time until the first heartbeat: several processes may import Celery from one cold disk.
STARTING_S = 300.0
# Longest turn of Celery's loop: four times as long as a hung Redis may block it
# (`socket_timeout`), and twice the longest pause between two attempts of kombu to connect.
LOOP_S = 60.0
# Longest round of upkeep, and longest time until an idle slot asks for a job again. Each call in
# them ends within 20 s, even when database and Redis hang.
ROUND_S = 300.0
# Where upkeep is set to run rarely, the limit is so many of its periods.
ROUNDS = 10


@dataclass(frozen=True)
class Fact:
    """A moment that must change within `limit_s`, unless it is None.

    Attributes:
        says: what hangs when the moment does not change.
        moment: by the monotonic clock.
        limit_s: longest time without a change.
    """

    says: str
    moment: float | None
    limit_s: float


def facts(beat: Beat | None) -> Iterator[Fact]:
    """The moments that must change in the heartbeat of a healthy process."""
    if beat is None:
        yield Fact("it has not come up", 0.0, STARTING_S)
        return
    round_s = max(ROUND_S, ROUNDS * beat.upkeep_s)
    yield Fact("the process sends no heartbeat", beat.at, SILENT_S)
    if beat.doing is Doing.CONNECTING:
        yield Fact("it does not connect to a Redis that answers", beat.loop, LOOP_S)
    else:
        yield Fact("the loop that takes wake-ups hangs", beat.loop, LOOP_S)
    yield Fact("upkeep hangs", beat.beat, round_s)
    yield Fact("an idle slot takes nothing", beat.look, round_s)


class HangDetector:
    """Counts for how long each moment has not changed, while the parent itself was running.

    The clock alone would count the time in which the whole host was suspended or overloaded.
    """

    def __init__(self) -> None:
        # What would hang: its last moment, and for how many seconds that has not changed.
        self._still: dict[str, tuple[float | None, float]] = {}

    def look(self, beat: Beat | None, passed_s: float) -> str | None:
        """Compare a heartbeat with the one before.

        Args:
            beat: heartbeat of the watched process; None before its first.
            passed_s: seconds since the last call.
        Returns:
            What hangs; None when nothing does.
        """
        awake_s = min(passed_s, 2 * LOOK_S)
        still = {}
        for fact in facts(beat):
            before, seconds = self._still.get(fact.says, (None, 0.0))
            changed = fact.moment is None or fact.moment != before
            still[fact.says] = (fact.moment, 0.0 if changed else seconds + awake_s)
        self._still = still
        limits = {fact.says: fact.limit_s for fact in facts(beat)}
        return next((says for says, (_, s) in still.items() if s > limits[says]), None)
