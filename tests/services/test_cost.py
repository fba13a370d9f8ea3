"""The cost of a run is counted whole, and a run that costs too much fails."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import cost

ROOT = Path(__file__).parents[2]

# Each test takes what its name says, a process of its own among it, at least.
TESTS = """
import os, subprocess, sys, time
import pytest

BURN = "import time; end = {s} + time.process_time()\\nwhile time.process_time() < end: pass"

@pytest.fixture(scope="session")
def server():
    exec(BURN.format(s=0.2))
    yield
    exec(BURN.format(s=0.2))

def test_own_half_second(server):
    exec(BURN.format(s=0.5))

def test_child_half_second():
    subprocess.run([sys.executable, "-c", BURN.format(s=0.5)], check=True)

def test_killed_parent(tmp_path):
    # The child of a process that is killed: nobody but a reaper hears of it.
    read, write = os.pipe()
    burn = BURN.format(s=0.5) + f"\\nimport os; os.write({write}, b'1')"
    start = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {burn!r}], "
    start += f"pass_fds=[{write}]); print(flush=True); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", start], pass_fds=[write], stdout=subprocess.PIPE
    )
    parent.stdout.readline()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert os.read(read, 1) == b"1"
"""


@dataclass
class Run:
    code: int
    out: str

    def processor_s(self, name: str) -> float:
        found = re.search(rf"^ *([\d.]+) +[\d.]+  (\S*::)?{re.escape(name)}$", self.out, re.M)
        assert found, self.out
        return float(found[1])


def run(folder: Path, *options: str, tests: str = TESTS) -> Run:
    file = folder / "tests/faults/test_burning.py"
    file.parent.mkdir(parents=True)
    file.write_text(tests)
    plugins = ["-p", "tests.cost", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *plugins, f"--rootdir={folder}", *options, folder],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout + done.stderr)


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_charges_what_was_used_and_fails_above_the_limit(
    tmp_path: Path, options: list[str]
) -> None:
    seen = run(tmp_path, "--cost-by-file", "--cost-limit", "0.5", *options)
    assert seen.code == pytest.ExitCode.TESTS_FAILED
    assert "3 passed" in seen.out
    assert "--cost-limit" in seen.out
    assert 0.5 <= seen.processor_s("test_own_half_second") < 0.7
    assert seen.processor_s("test_child_half_second") >= 0.5
    assert seen.processor_s(cost.SESSION) >= 0.4
    file, kind = seen.processor_s("tests/faults/test_burning.py"), seen.processor_s("faults")
    assert file == kind >= 1.0
    parts = ["faults", cost.SESSION, cost.STARTING]
    if options:
        assert seen.processor_s(cost.ORPHANS) >= 0.5
        parts.append(cost.ORPHANS)
    assert seen.processor_s("all") == pytest.approx(sum(map(seen.processor_s, parts)), abs=0.3)


def test_lets_a_run_within_the_limit_pass(tmp_path: Path) -> None:
    assert run(tmp_path, "-k", "test_own_half_second").code == pytest.ExitCode.OK


# Each test leaves children that end together, so that their signals interrupt one another.
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
                os._exit(0)
        os._exit(0)
    os.waitpid(middle, 0)
"""


def test_many_processes_whose_parent_died_disturb_no_run(tmp_path: Path) -> None:
    assert run(tmp_path, "-n", "1", tests=LEAVES_ORPHANS).code == pytest.ExitCode.OK
