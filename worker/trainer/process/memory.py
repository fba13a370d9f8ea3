"""The memory of a process that serves many jobs: what it gives back, and when it has grown."""

import ctypes
import gc
import os
import re
from pathlib import Path

from tensorflow.python.framework import ops

from fornada.worker.trainer.failures import memory_limit

# What a trainer may have kept of its jobs, beyond what it had before the first, in bytes; more is
# had back by a new process, which takes seconds to start.
MOST_KEPT = 2**30
# The same, as a share of a limit that each job is to find whole.
SHARE_KEPT = 1 / 8

# What one set's images may take of all that a process has.
SHARE = 1 / 8

# As `tensorflow/python/ops/custom_gradient.py` names them.
_CUSTOM_GRADIENT = "CustomGradient-"
_ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


class Room:
    """Whether a process has room for another job; begins to count when it is made.

    Args:
        limit: bytes that a trainer may allocate; None without one.
    """

    def __init__(self, limit: int | None) -> None:
        self._before = held()
        self._most = min(MOST_KEPT, int(limit * SHARE_KEPT)) if limit else MOST_KEPT

    @property
    def left(self) -> bool:
        """Whether the jobs so far have left little behind."""
        return held() - self._before <= self._most


def held(process: int | str = "self") -> int:
    """Bytes of a process that are nobody else's, nor a file's."""
    found = _ANONYMOUS.search(Path(f"/proc/{process}/status").read_text())
    assert found is not None  # noqa: S101 - since Linux 4.5
    return int(found[1]) * 1024


def share(most: int) -> int:
    """How many bytes one thing may take of a process that needs its memory for others too.

    Args:
        most: bytes it may take where there is plenty.
    """
    return min(most, int(ceiling() * SHARE))


def ceiling() -> int:
    """Bytes that this process can have at all: what it may allocate, or what the host has."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = memory_limit()
    return host if limit is None else min(limit, host)


def settle() -> None:
    """Have the collector pass over what has been imported, which is most, and stays."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Let go of what jobs have left, and return freed memory to the kernel."""
    # Each trace of an operation with a gradient of its own registers that for good, and holds the
    # whole graph by it; what is traced has its gradients, and looks none up any more.
    known = ops.gradient_registry._registry
    for name in [name for name in known if name.startswith(_CUSTOM_GRADIENT)]:
        del known[name]
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
