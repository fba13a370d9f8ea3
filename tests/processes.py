"""Processes as Linux tells of them."""

from pathlib import Path


def of_home(home: Path) -> list[int]:
    """Living processes with this home of Fornada in their environment."""
    mark = f"FORNADA_HOME={home}\0".encode()
    return [pid for pid in living() if mark in read(pid, "environ")]


def children(pid: int) -> list[int]:
    """The processes that it started, and that live."""
    return [child for child in living() if _parent(child) == pid]


def command(pid: int) -> list[str]:
    """Its argument list; empty when it is gone or a zombie."""
    return read(pid, "cmdline").decode().split("\0")[:-1]


def name(pid: int) -> str:
    """What it calls itself; empty when it is gone."""
    return read(pid, "comm").decode().rstrip("\n")


def gone(pid: int) -> bool:
    """Whether a process has ended, or is a zombie."""
    return not read(pid, "cmdline")


def stat(pid: int) -> list[bytes]:
    """The fields of its `stat` from the state on; none when it is gone."""
    # After the name in brackets, which may hold anything.
    return read(pid, "stat").rpartition(b")")[2].split()


def read(pid: int, what: str) -> bytes:
    """A file of a process; empty where it is gone, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def living() -> set[int]:
    """All processes that this one can see."""
    return {int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()}


def _parent(pid: int) -> int:
    fields = stat(pid)
    return int(fields[1]) if fields else 0
