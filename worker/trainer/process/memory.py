"""Memory of a process that runs many jobs: how it frees memory, and whether it has grown."""

import ctypes
import gc
import re
from pathlib import Path

from tensorflow.python.framework import ops

from fornada.worker.trainer.process import memory_room

# Bytes that a trainer may keep after its jobs, beyond what it held before the first. If it keeps
# more, a new process replaces it, which takes seconds to start.
MOST_KEPT = 2**30
# The same as a share of the memory limit, because each job should have nearly all of the limit.
SHARE_KEPT = 1 / 8

# Share of a process's memory that the images of one set may take.
SHARE = 1 / 8

# As `tensorflow/python/ops/custom_gradient.py` names them.
_CUSTOM_GRADIENT = "CustomGradient-"
_ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


class Room:
    """Whether this process has memory for another job. Create it before the first job.

    Args:
        limit: bytes that a trainer may allocate; None without a limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._before = held()
        self._most = min(MOST_KEPT, int(limit * SHARE_KEPT)) if limit else MOST_KEPT

    @property
    def left(self) -> bool:
        """Whether the jobs so far have kept little memory."""
        return held() - self._before <= self._most


def held(process: int | str = "self") -> int:
    """Bytes of memory that a process does not share and that belong to no file (`RssAnon`)."""
    found = _ANONYMOUS.search(Path(f"/proc/{process}/status").read_text())
    assert found is not None  # noqa: S101 - since Linux 4.5
    return int(found[1]) * 1024


def share(most: int) -> int:
    """Bytes that one set of images may take, so that memory is left for everything else.

    Args:
        most: the most that it may take even where memory is plentiful.
    """
    return min(most, int(ceiling() * SHARE))


def ceiling() -> int:
    """Bytes that this process can have: see `memory_room.at_most`."""
    return memory_room.at_most().bytes


def freeze() -> None:
    """Take all imported objects out of garbage collection: they are many, and stay for good."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Drop objects that jobs have left, and return freed memory to the kernel."""
    # TensorFlow registers the gradient at each trace of an operation with a custom gradient, and
    # never removes it. The entry keeps the whole graph alive. Finished traces already have their
    # gradients and look up none, so the entries can go.
    known = ops.gradient_registry._registry
    for name in [name for name in known if name.startswith(_CUSTOM_GRADIENT)]:
        del known[name]
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
