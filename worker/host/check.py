"""`fornada-worker --check`: is the worker of this home healthy? For a container's health check."""

import time
from pathlib import Path

from fornada.worker.host import heartbeat_file
from fornada.worker.host.hangs import facts
from fornada.worker.host.heartbeat_file import Beat, Doing


def check(home: Path, name: str | None) -> tuple[bool, str]:
    """Read the heartbeats of the workers that run in a home once.

    Args:
        home: folder of the workers' locks and heartbeats.
        name: name of the worker to check; None checks all.
    Returns:
        Whether at least one worker runs and all are healthy; and a sentence that says so.
    """
    found = {worker: beat for worker, beat in heartbeat_file.living(home) if name in (None, worker)}
    if not found:
        return False, f"no worker{f' named {name}' if name else ''} runs in {home}"
    problems = {worker: _problem(beat) for worker, beat in found.items()}
    ill = [f"{worker}: {problem}" for worker, problem in problems.items() if problem]
    well = [f"{worker}: {beat.doing}" for worker, beat in found.items() if beat]
    return not ill, "; ".join(ill or well)


def _problem(beat: Beat | None) -> str | None:
    if beat is None or beat.doing is Doing.STARTING:
        return "it has not come up yet"
    now = time.monotonic()
    for fact in facts(beat):
        if fact.moment is not None and now - fact.moment > fact.limit_s:
            return f"{fact.says} for {now - fact.moment:.0f} s"
    return None
