"""How much memory this process can have: by its own limit, its control groups, and the host."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fornada.worker.trainer.failures import memory_limit

_ROOT = Path("/")
# "VmData:	     424 kB", "MemAvailable:   22481000 kB"
_LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class MemoryRoom:
    """An amount of memory.

    Attributes:
        bytes: how much.
        whose: who allows so much, for a message: "this host has".
    """

    bytes: int
    whose: str


@dataclass(frozen=True)
class _Group:
    """A control group: its limit, and what its processes use that the kernel cannot take back."""

    limit: int
    used: int


def at_most(root: Path = _ROOT) -> MemoryRoom:
    """The memory that this process can have if nothing else needs any.

    Args:
        root: folder of `proc` and `sys`.
    """
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = [MemoryRoom(host, "this host has")]
    found += [
        MemoryRoom(group.limit, "the container or service of this worker has")
        for group in _groups(root)
    ]
    if (limit := memory_limit()) is not None:
        found.append(MemoryRoom(limit, "FORNADA_MAX_MEMORY_BYTES allows"))
    return min(found)


def left(root: Path = _ROOT) -> MemoryRoom:
    """The memory that this process can still have now, besides what it and others use.

    Args:
        root: folder of `proc` and `sys`.
    """
    available = _kilobytes(root / "proc/meminfo")["MemAvailable"] * 1024
    found = [MemoryRoom(available, "this host now has")]
    found += [
        MemoryRoom(
            max(0, group.limit - group.used), "the container or service of this worker now has"
        )
        for group in _groups(root)
    ]
    if (limit := memory_limit()) is not None:
        # The kernel compares this one with RLIMIT_DATA.
        used = _kilobytes(root / "proc/self/status")["VmData"] * 1024
        found.append(MemoryRoom(max(0, limit - used), "FORNADA_MAX_MEMORY_BYTES now allows"))
    return min(found)


def _kilobytes(file: Path) -> dict[str, int]:
    return {name: int(number) for name, number in _LINE.findall(file.read_text())}


def _groups(root: Path) -> Iterator[_Group]:
    """The control groups of this process that limit memory, of either version."""
    mounted = root / "sys/fs/cgroup"
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        # "0::/path" for version 2, "4:memory:/path" for version 1.
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            base = mounted
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = mounted / "memory"
        else:
            continue
        # In a container the path may exist on the host only, and the group of the container is
        # mounted at the base.
        own = base / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(base) and (group := _group(folder, *names)) is not None:
                yield group


def _group(folder: Path, limit: str, usage: str, reclaimable: str) -> _Group | None:
    """The group in a folder; None when it has no limit, or does not exist here."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return None
        used = int((folder / usage).read_text())
        stat = dict(line.split(" ") for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return _Group(int(most), used - int(stat.get(reclaimable, 0)))
