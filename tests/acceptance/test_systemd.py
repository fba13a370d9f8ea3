"""The units of `deploy/systemd`: their commands exist, and they leave time for a drain."""

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from fornada.settings import Settings
from fornada.stack import local
from fornada.worker.host.options import REFUSALS
from tests.acceptance.installed import PROGRAM, REPOSITORY

UNITS = sorted((REPOSITORY / "deploy" / "systemd").glob("*.service"))


def read(unit: Path) -> ConfigParser:
    """A unit. Its `%h` and the case of its keys stay as they are."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_drains_before_it_is_killed(unit: Path) -> None:
    service = read(unit)["Service"]
    # To the main process only: trainers that get SIGTERM crash.
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    drain_s = Settings.grace_s + local.DRAIN_EXTRA_S + local.REDIS_STOP_S
    assert float(service["TimeoutStopSec"]) >= drain_s
    # A drain ends with 0, and must not be undone.
    assert service["Restart"] == "on-failure"
    assert set(map(int, service["RestartPreventExitStatus"].split())) == REFUSALS
    # One trainer without memory ends its own job only.
    assert service["OOMPolicy"] == "continue"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_command_of_a_unit_exists_with_its_options(unit: Path) -> None:
    program, *words = read(unit)["Service"]["ExecStart"].split()
    assert Path(program).name == PROGRAM.name
    commands = [word for word in words if word.isalpha()]
    done = subprocess.run(
        [PROGRAM, *commands, "--help"], capture_output=True, text=True, check=True
    )
    assert [word for word in words if word.startswith("--") and word not in done.stdout] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("this machine has no systemd-analyze")
    # It also checks that the program exists.
    program = read(unit)["Service"]["ExecStart"].split()[0]
    installed = tmp_path / unit.name
    installed.write_text(unit.read_text().replace(program, str(PROGRAM)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", installed], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
