"""Gives each trainer a control group of its own, with a limit of memory; best effort.

It needs control groups of version 2 and an account that may make groups below the worker's own: a
service of systemd with `Delegate=memory`, see docs/service.md. Elsewhere trainers stay in the
worker's group, and only `RLIMIT_DATA` limits them.

The kernel shares memory out to the groups below a group only if that group has no processes. So the
worker's processes move into a group beside those of the trainers: `enter`.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("fornada.worker")

MOUNTED = Path("/sys/fs/cgroup")
# The group of the worker's own processes.
_OWN = "fornada"
# Begins the name of each trainer's group; its process id follows.
_TRAINER = "trainer-"
# With this attribute systemd marks the group of a service with `Delegate=`.
_DELEGATED = "user.delegate"


def enter() -> bool:
    """Make room for groups of trainers: move the processes of this service into one group.

    Does nothing where the group has processes of others: its owner has not given it to us.

    Returns:
        Whether this process is in such a group now.
    """
    base = group_of_this_process()
    if base is None or "memory" not in _words(base / "cgroup.controllers"):
        return False
    if base.name == _OWN:
        return True
    if set(_processes(base)) != {os.getpid()} and not _is_delegated(base):
        return False
    own = base / _OWN
    try:
        own.mkdir(exist_ok=True)
        _move(_processes(base), own)
        (base / "cgroup.subtree_control").write_text("+memory")
    except OSError as exc:
        log.info("trainers get no control groups of their own: %s", exc)
        with suppress(OSError):
            _move(_processes(own), base)
            own.rmdir()
        return False
    return True


@dataclass(frozen=True)
class TrainerGroup:
    """The group of one trainer and of all processes that it has started."""

    folder: Path

    def limit_reached(self) -> bool:
        """Whether its processes needed more memory than its limit."""
        counts = dict(line.split() for line in _lines(self.folder / "memory.events"))
        return int(counts.get("oom", 0)) > 0

    def end(self) -> None:
        """Kill what is left in the group, and remove it."""
        with suppress(OSError):
            # Since Linux 5.14. The kernel ends the processes after this call has returned.
            (self.folder / "cgroup.kill").write_text("1")
        # If a process has not ended yet, the next group that is made removes this one.
        with suppress(OSError):
            self.folder.rmdir()


class TrainerGroups:
    """Makes the groups of a worker's trainers.

    Args:
        base: the group in which they lie.
        most_bytes: memory that each one may take; None without a limit.
    """

    def __init__(self, base: Path, most_bytes: int | None) -> None:
        self._base = base
        self._most_bytes = most_bytes

    @classmethod
    def of_this_process(cls, most_bytes: int | None) -> "TrainerGroups | None":
        """The groups beside the group of this process; None if it is in none that `enter` made."""
        own = group_of_this_process()
        if own is None or own.name != _OWN:
            return None
        if "memory" not in _words(own.parent / "cgroup.subtree_control"):
            return None
        return cls(own.parent, most_bytes)

    def put(self, pid: int) -> TrainerGroup | None:
        """Put a trainer into a new group; None if that fails, which is logged."""
        self._remove_empty()
        group = TrainerGroup(self._base / f"{_TRAINER}{pid}")
        try:
            group.folder.mkdir()
            if self._most_bytes is not None:
                (group.folder / "memory.max").write_text(str(self._most_bytes))
                # Otherwise it would go on in swap, and slow the whole host down.
                with suppress(FileNotFoundError):
                    (group.folder / "memory.swap.max").write_text("0")
            # A trainer without the processes that it started, or they without it, is no use.
            (group.folder / "memory.oom.group").write_text("1")
            _move([pid], group.folder)
        except OSError as exc:
            log.warning("the trainer %d gets no control group of its own: %s", pid, exc)
            with suppress(OSError):
                group.folder.rmdir()
            return None
        return group

    def _remove_empty(self) -> None:
        for folder in self._base.glob(f"{_TRAINER}*"):
            # The kernel refuses it for a group with processes.
            with suppress(OSError):
                folder.rmdir()


def group_of_this_process() -> Path | None:
    """The folder of this process's group of version 2; None if there is none here."""
    for line in _lines(Path("/proc/self/cgroup")):
        number, _, path = line.split(":", 2)
        folder = MOUNTED / path.lstrip("/")
        # On a host with version 1, the folder belongs to another hierarchy, or does not exist.
        if number == "0" and (folder / "cgroup.controllers").exists():
            return folder
    return None


def _is_delegated(group: Path) -> bool:
    try:
        return os.getxattr(group, _DELEGATED) == b"1"
    except OSError:
        return False


def _processes(group: Path) -> list[int]:
    return [int(line) for line in (group / "cgroup.procs").read_text().splitlines()]


def _move(pids: Sequence[int], group: Path) -> None:
    for pid in pids:
        # The kernel takes one a write.
        (group / "cgroup.procs").write_text(str(pid))


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
