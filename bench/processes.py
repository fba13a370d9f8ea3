"""What the processes of one home of Fornada use."""

import os
import time
from pathlib import Path

from tests.processes import of_home, read, stat

_TICKS_S = os.sysconf("SC_CLK_TCK")
# Of a core: less than that is rest.
_REST = 0.05


def at_rest(home: Path, seconds: float = 2.0) -> bool:
    """Whether they do as good as nothing meanwhile: a factory has loaded Keras by then."""
    return cpu_s(home, seconds) < _REST * seconds


def cpu_s(home: Path, seconds: float) -> float:
    """Processor seconds that they use meanwhile."""
    pids = of_home(home)
    before = sum(map(_spent_s, pids))
    time.sleep(seconds)
    return sum(map(_spent_s, pids)) - before


def resident_bytes(pid: int) -> int:
    """Memory of a process, what it shares with others divided among them."""
    lines = read(pid, "smaps_rollup").decode().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _spent_s(pid: int) -> float:
    fields = stat(pid)
    # In the program, and in the kernel for it.
    return (int(fields[11]) + int(fields[12])) / _TICKS_S if fields else 0.0
