"""`pip install fornada` takes one name, and no module of a person's own gets in its way."""

import json
import shutil
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest

from tests.acceptance.installed import PATIENCE_S, REPOSITORY
from tests.acceptance.specs import small
from tests.acceptance.wheels import build

THEIRS = ("cli", "db", "worker", "tests")
ASK = """
from fornada import Client
import {theirs}
with Client() as client:
    print(client.wait(client.jobs().rows[0]["id"])["state"])
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a home of its own.

    Attributes:
        pip: what installs into it, its own or another environment's.
    """

    folder: Path
    pip: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def install(self, wheel: Path) -> None:
        """Install a wheel without what it depends on."""
        into = [self.pip, "--python", self.folder / "bin" / "python"]
        self.run([*into, "install", "--quiet", "--no-index", "--no-deps", wheel], self.folder)

    def run(self, words: list[object], cwd: Path, **variables: str) -> str:
        """What a program of the environment prints; it must end with 0."""
        program, *arguments = words
        done = subprocess.run(
            [self.folder / str(program), *map(str, arguments)],
            cwd=cwd,
            env={
                "HOME": str(self.folder),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "FORNADA_HOME": str(self.folder / "home"),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


def new_environment(folder: Path, pip: Path | None = None) -> Environment:
    """An environment with a pip of its own, which takes some seconds, or one that needs none."""
    venv.create(folder, with_pip=pip is None)
    return Environment(folder, pip or folder / "bin" / "pip")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, a job that has been trained, and everybody's packages."""
    made = new_environment(tmp_path_factory.mktemp("installed"))
    made.install(wheel)
    # As a path alone: the editable install that stands beside the packages is not followed.
    here = Path(pydantic.__file__).parents[1]
    (made.packages / "packages.pth").write_text(f"{here}\n")
    return made


@pytest.fixture(scope="module")
def folder(installed: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a person's own modules, in which a job was run, by a worker of its own."""
    made = tmp_path_factory.mktemp("project")
    for name in THEIRS:
        (made / f"{name}.py").write_text(f'"""A module of the person: {name}."""\n')
    shutil.copytree(REPOSITORY / "Data", made / "Data")
    spec = small(made, epochs=1)
    installed.run(["bin/fornada", "run", spec], made, PYTHONPATH=str(made))
    return made


def test_the_wheel_is_what_runs(installed: Environment, folder: Path) -> None:
    code = "import fornada.db; print(fornada.db.__file__)"
    said = installed.run(["bin/python", "-c", code], folder, PYTHONPATH=str(folder))
    assert Path(said.strip()) == installed.packages / "fornada" / "db" / "__init__.py"


@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.parametrize("route", ["current folder", "PYTHONPATH", "folder of the script"])
def test_a_module_of_the_same_name_changes_nothing(
    installed: Environment, folder: Path, tmp_path: Path, route: str, theirs: str
) -> None:
    code = ASK.format(theirs=theirs) + f"print({theirs}.__doc__)\n"
    said = f"succeeded\nA module of the person: {theirs}.\n"
    if route == "current folder":
        assert installed.run(["bin/python", "-c", code], folder) == said
    elif route == "PYTHONPATH":
        words: list[object] = ["bin/python", "-P", "-c", code]
        assert installed.run(words, tmp_path, PYTHONPATH=str(folder)) == said
    else:
        script = folder / f"ask_beside_{theirs}.py"
        script.write_text(code)
        assert installed.run(["bin/python", script], tmp_path) == said


def test_a_command_starts_beside_them(installed: Environment, folder: Path) -> None:
    said = installed.run(["bin/fornada", "ls", "--json"], folder, PYTHONPATH=str(folder))
    (job,) = json.loads(said)["jobs"]
    assert job["state"] == "succeeded"


def test_an_upgrade_leaves_none_of_the_old_packages(
    installed: Environment, wheel: Path, tmp_path: Path
) -> None:
    """Up to 0.2.0 a wheel held `cli`, `db` and `worker` beside `fornada`."""
    old = tmp_path / "old"
    for name in ("cli", "db", "worker", "fornada"):
        (old / name).mkdir(parents=True)
        (old / name / "__init__.py").touch()
    (old / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "fornada"\nversion = "0.2.0"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["cli", "db", "worker", "fornada"]\n'
    )
    environment = new_environment(tmp_path / "environment", installed.pip)
    environment.install(build(old, "wheel", tmp_path / "old-wheel"))
    environment.run(["bin/python", "-c", "import cli, db, worker"], tmp_path)
    environment.install(wheel)
    assert not [name for name in ("cli", "db", "worker") if (environment.packages / name).exists()]
    assert (environment.packages / "fornada" / "db").is_dir()
