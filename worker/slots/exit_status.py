"""How a trainer process ended, and whether the kernel killed it for want of memory."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True)
class ExitStatus:
    """The end of a process: exit status, negative for the signal that ended it."""

    status: int
    # Whether the kernel says it killed for want of memory while the process ran.
    out_of_memory: bool

    @property
    def killed_for_memory(self) -> bool:
        """A SIGKILL alone may be anybody's; with the kernel's word it is a want of memory."""
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
    """The kernel's count of processes it killed for want of memory, where a trainer runs."""

    file: Path
    before: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Read the counter that is nearest to a process; None when the kernel keeps none."""
        for file in _counters(pid):
            count = _read(file)
            if count is not None:
                return cls(file, count)
        return None

    def rose(self) -> bool:
        """Whether it counted another since."""
        now = _read(self.file)
        return now is not None and now > self.before


def _counters(pid: int) -> list[Path]:
    found = []
    try:
        groups = (PROC / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        # "0::/path" for version 2, "4:memory:/path" for version 1; a container may show the
        # path as the host names it while its own group is mounted at the root.
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
