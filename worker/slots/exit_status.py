"""How a trainer process ended, and whether the kernel killed it because memory ran out."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended. `status` is its exit status, or a signal number with a minus sign."""

    status: int
    # Whether the kernel's count of processes killed for memory rose while this one ran.
    out_of_memory: bool
    # Whether it had a control group of its own, and reached the limit of that group.
    limit_reached: bool = False

    @property
    def killed_for_memory(self) -> bool:
        """Whether the kernel killed it for memory. Anybody may send SIGKILL, so both must hold."""
        return self.status == -signal.SIGKILL and self.out_of_memory

    def __str__(self) -> str:
        if self.status >= 0:
            return f"exit status {self.status}"
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            # Real-time signals have no names.
            return f"signal {-self.status}"


@dataclass(frozen=True)
class OomCounter:
    """The kernel's count of processes that it killed because memory ran out.

    Attributes:
        file: where the kernel shows the count, as near to the trainer as possible.
        before: the count when the trainer got its job.
    """

    file: Path
    before: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Read the counter nearest to a process; None when the kernel has no such counter."""
        for file in _counters(pid):
            count = _read(file)
            if count is not None:
                return cls(file, count)
        return None

    def rose(self) -> bool:
        """Whether the count is higher now than it was before the job."""
        now = _read(self.file)
        return now is not None and now > self.before


def _counters(pid: int) -> list[Path]:
    found = []
    try:
        groups = (PROC / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        # "0::/path" for version 2, "4:memory:/path" for version 1. In a container the path may
        # exist on the host only, and the container's own group is mounted at the root. So both
        # places are tried.
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += [CGROUPS / path.lstrip("/") / "memory.events", CGROUPS / "memory.events"]
        elif "memory" in controllers.split(","):
            mounted = CGROUPS / "memory"
            found += [mounted / path.lstrip("/") / "memory.oom_control"]
            found += [mounted / "memory.oom_control"]
    return [*found, PROC / "vmstat"]


def _read(file: Path) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return None
