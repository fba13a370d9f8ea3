"""A run of tests counts what processes used whose parent died, and is not disturbed by them."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Each test leaves children that die together, so that signals interrupt one another.
LEAVES_ORPHANS = """
import os
import pytest

@pytest.mark.parametrize("number", range(8))
def test_orphans(number):
    middle = os.fork()
    if not middle:
        begin, start = os.pipe()
        for _ in range(40):
            if not os.fork():
                os.close(start)
                os.read(begin, 1)
                sum(range(20_000))
                os._exit(0)
        os._exit(0)
    os.waitpid(middle, 0)
"""


def test_many_processes_whose_parent_died(tmp_path: Path) -> None:
    (tmp_path / "test_orphans.py").write_text(LEAVES_ORPHANS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.cost", "-n", "1", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "8 passed" in ran.stdout
    row = re.search(r"([\d.]+) +[\d.]+  processes whose parent died", ran.stdout)
    assert row
    assert float(row[1]) > 0
