"""`fornada-worker --check`: whether the worker of this home is well, for a container's health."""

import time
from pathlib import Path

from fornada.worker.host import heartbeat_file
from fornada.worker.host.hang_detection import facts
from fornada.worker.host.heartbeat_file import Beat, Doing


def check(home: Path, name: str | None) -> tuple[bool, str]:
    """Look once at the pulses of the workers that run in a home.

    Args:
        home: of the workers.
        name: of the only one that is asked for; None asks for all.
    Returns:
        Whether there is one and all are well, and a sentence that says so.
    """
    found = {one: shown for one, shown in heartbeat_file.living(home) if name in (None, one)}
    if not found:
        return False, f"no worker{f' named {name}' if name else ''} runs in {home}"
    said = {one: _ill(shown) for one, shown in found.items()}
    ill = [f"{one}: {says}" for one, says in said.items() if says]
    well = [f"{one}: {shown.doing}" for one, shown in found.items() if shown]
    return not ill, "; ".join(ill or well)


def _ill(shown: Beat | None) -> str | None:
    if shown is None or shown.doing is Doing.STARTING:
        return "it has not come up yet"
    now = time.monotonic()
    for fact in facts(shown):
        if fact.moment is not None and now - fact.moment > fact.limit_s:
            return f"{fact.says} since {now - fact.moment:.0f} s"
    return None
