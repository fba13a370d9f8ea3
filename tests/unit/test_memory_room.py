"""How much memory a process can have, from the files of the kernel."""

import os
from pathlib import Path

import pytest

from fornada.worker.trainer.process.memory_room import at_most, left

GIB = 2**30
HOST = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
ROOMY = 2**50


def host(root: Path, *, available: int, group: str, files: dict[str, int | str]) -> Path:
    """A folder with what the kernel shows of a host and of its control groups."""
    (root / "proc/self").mkdir(parents=True)
    text = f"MemTotal:  1 kB\nMemAvailable:  {available // 1024} kB\n"
    (root / "proc/meminfo").write_text(text)
    (root / "proc/self/cgroup").write_text(f"9:pids:/elsewhere\n{group}\n")
    for name, value in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return root


def group(folder: str, limit: int | str, used: int, cached: int) -> dict[str, int | str]:
    """The files of a group of version 2."""
    return {
        f"{folder}memory.max": limit,
        f"{folder}memory.current": used,
        f"{folder}memory.stat": f"anon 1\ninactive_file {cached}",
    }


def test_a_host_without_limits(tmp_path: Path) -> None:
    files = group("a/", "max", GIB, 0)
    root = host(tmp_path, available=3 * GIB, group="0::/a", files=files)
    assert at_most(root).bytes == HOST
    assert left(root).bytes == 3 * GIB


@pytest.mark.parametrize("path", ["/a/b", "/../../only/on/the/host"])
def test_a_group_above_may_have_the_limit(tmp_path: Path, path: str) -> None:
    """As in a container: the root of what it sees is its own group."""
    files = group("", 2**29, 2**28 + 7, 7) | group("a/b/", "max", 5, 0)
    root = host(tmp_path, available=ROOMY, group=f"0::{path}", files=files)
    assert at_most(root).bytes == 2**29
    # What is cached of files can be taken back.
    assert left(root).bytes == 2**28


def test_the_lowest_limit_counts(tmp_path: Path) -> None:
    files = group("", 2**29, 0, 0) | group("a/", 2**28, 2**27, 0)
    root = host(tmp_path, available=2**20, group="0::/a", files=files)
    assert at_most(root).bytes == 2**28
    assert left(root).bytes == 2**20


def test_a_group_of_version_1(tmp_path: Path) -> None:
    files: dict[str, int | str] = {
        "memory/a/memory.limit_in_bytes": 2**29,
        "memory/a/memory.usage_in_bytes": 2**28 + 9,
        "memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 9",
        # As the kernel writes that there is no limit.
        "memory/memory.limit_in_bytes": 9223372036854771712,
        "memory/memory.usage_in_bytes": 2**40,
        "memory/memory.stat": "total_inactive_file 0",
    }
    root = host(tmp_path, available=ROOMY, group="4:cpu,memory:/a", files=files)
    assert at_most(root).bytes == 2**29
    assert left(root).bytes == 2**28


def test_more_than_the_limit_is_used(tmp_path: Path) -> None:
    root = host(tmp_path, available=ROOMY, group="0::/", files=group("", GIB, 2 * GIB, 0))
    assert left(root).bytes == 0


def test_this_process() -> None:
    assert 0 < left().bytes < at_most().bytes
