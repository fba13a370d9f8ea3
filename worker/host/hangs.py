"""Whether a Celery process hangs, and what its parent does then.

A heartbeat has moments that must change. The parent checks them all the time, and a health check
does it once. The parent logs a hang, asks the process to drain, then kills it.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fornada.worker.host import heartbeat_file
from fornada.worker.host.heartbeat_file import Beat, Doing
from fornada.worker.host.probe import write_and_remove

log = logging.getLogger("fornada.worker")

# Seconds between two checks by the parent.
LOOK_S = 1.0
# Longest time without a heartbeat. Its thread waits for no other, but a busy host may delay it by
# seconds.
SILENT_S = 30.0
# Longest time until the first heartbeat: several processes may import Celery from one cold disk.
STARTING_S = 300.0
# Longest time in which Celery's loop does not report that it runs. It is four times as long as a
# hung Redis may block the loop (`socket_timeout`), and twice the longest pause between two attempts
# of kombu to connect.
LOOP_S = 60.0
# Longest round of upkeep, and longest time until an idle slot asks for a job again. Each call in
# them ends within 20 s, even when database and Redis hang.
ROUND_S = 300.0
# If FORNADA_UPKEEP_S is so long that this many rounds take more than ROUND_S, they are the limit.
ROUNDS = 10
# Extra time for a draining process: after its grace, and after its last job has ended.
EXTRA_S = 10.0
# Time for a process that sends no heartbeat. It cannot drain, so it gets less.
NO_HEARTBEAT_S = 5.0


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
        # For each `Fact.says`: its last moment, and for how many seconds it has not changed.
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


class HangGuard:
    """Watches one Celery process, and ends it when it hangs.

    Args:
        child: its process id; the parent has not waited for it yet.
        descriptor: descriptor of its heartbeat file.
    """

    def __init__(self, child: int, descriptor: int) -> None:
        self._child = child
        self._descriptor = descriptor
        self._detector = HangDetector()
        self._looked = time.monotonic()
        # When to kill a process that was told to drain; None while it has not been told.
        self._kill_at: float | None = None
        # When the process last ran a job, or was told to drain. A process that drains is killed
        # `EXTRA_S` after this.
        self._busy = self._looked

    def look(self) -> None:
        """Check the process and do what is due; call it about once a second."""
        now = time.monotonic()
        passed_s = now - self._looked
        self._looked = now
        beat = heartbeat_file.read(self._descriptor)
        if beat is not None and beat.pid != self._child:
            # The previous Celery process wrote it.
            beat = None
        if beat is None or beat.jobs:
            self._busy = now
        if self._kill_at is None:
            self._drain_if_hung(beat, passed_s)
        elif now > self._kill_at or now > self._busy + EXTRA_S:
            log.error("the Celery process (%d) does not end; killing it", self._child)
            os.killpg(self._child, signal.SIGKILL)
            self._kill_at = self._busy = now + NO_HEARTBEAT_S

    def restart(self, why: str) -> None:
        """Drain the process, so that it can be started again; does nothing while it drains."""
        if self._kill_at is None:
            log.warning("%s; the Celery process (%d) is started again", why, self._child)
            self._drain(heartbeat_file.read(self._descriptor))

    def _drain_if_hung(self, beat: Beat | None, passed_s: float) -> None:
        what_hangs = self._detector.look(beat, passed_s)
        if what_hangs is None:
            return
        log.error("the Celery process (%d) hangs: %s; it is started again", self._child, what_hangs)
        self._drain(beat)

    def _drain(self, beat: Beat | None) -> None:
        now = self._busy = time.monotonic()
        # Only a process that still sends heartbeats can save its jobs.
        alive = beat is not None and now - beat.at < SILENT_S
        self._kill_at = now + (beat.grace_s + EXTRA_S if beat and alive else NO_HEARTBEAT_S)
        os.kill(self._child, signal.SIGTERM)


def check(home: Path, name: str | None) -> tuple[bool, str]:
    """Read the heartbeats of the workers that run in a home once.

    Args:
        home: folder of the workers' locks and heartbeats.
        name: name of the worker to check; None checks all.
    Returns:
        Whether at least one worker runs and all are healthy; and a sentence that says what is wrong
        or what the workers do.
    """
    found = {worker: beat for worker, beat in heartbeat_file.living(home) if name in (None, worker)}
    if not found:
        return False, f"no worker{f' named {name}' if name else ''} runs in {home}{_about(home)}"
    problems = {worker: _problem(beat) for worker, beat in found.items()}
    ill = [f"{worker}: {problem}" for worker, problem in problems.items() if problem]
    well = [f"{worker}: {beat.doing}" for worker, beat in found.items() if beat]
    return not ill, "; ".join(ill or well) + (_about(home) if ill else "")


def _about(home: Path) -> str:
    """What is wrong with a home, as a further part of a sentence; empty if nothing is."""
    if not home.is_dir():
        return ": the home does not exist"
    try:
        write_and_remove(home / f".fornada-check-{os.getpid()}")
    except OSError as exc:
        return f": the home cannot be written: {exc.strerror}"
    return ""


def _problem(beat: Beat | None) -> str | None:
    if beat is None or beat.doing is Doing.STARTING:
        return "it has not come up yet"
    now = time.monotonic()
    for fact in facts(beat):
        if fact.moment is not None and now - fact.moment > fact.limit_s:
            return f"{fact.says} for {now - fact.moment:.0f} s"
    return None
