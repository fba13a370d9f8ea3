"""`pip install fornada` is enough to submit and ask, with the packages of its lock alone."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tests.servers import RedisServer

PROJECT = Path(__file__).parents[2]
# Runs `fornada` where the modules named in argv[1] cannot be imported.
ALONE = """
import importlib.abc, json, sys

missing = frozenset(json.loads(sys.argv.pop(1)))

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from fornada.cli.main import main
main()
"""


def modules_beyond_the_client() -> list[str]:
    """Top-level modules installed here that lock/client.txt does not bring."""
    lock = (PROJECT / "lock/client.txt").read_text()
    client = {normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    client.add("fornada")
    return sorted(
        module
        for module, packages in metadata.packages_distributions().items()
        if not client & {normal(package) for package in packages}
    )


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def test_submit_and_ask_with_the_client_alone(tmp_path: Path, redis_server: RedisServer) -> None:
    missing = modules_beyond_the_client()
    assert "keras" in missing
    assert "celery" not in missing
    environment = os.environ | {
        "FORNADA_HOME": str(tmp_path),
        "FORNADA_DATABASE_URL": f"sqlite:///{tmp_path / 'fornada.db'}",
        "FORNADA_BROKER_URL": redis_server.url,
        "FORNADA_DATA_ROOT": str(PROJECT),
    }

    def alone(*words: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", ALONE, json.dumps(missing), *words],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    alone("db", "upgrade")
    job = alone("submit", "-q", "specs/digits.yaml").strip()
    assert json.loads(alone("show", job, "--json"))["state"] == "queued"
    assert len(json.loads(alone("ps", "--json"))) == 1
    alone("cancel", job)
    (checked,) = json.loads(alone("check", "--json", "specs/owner.yaml"))["specs"]
    assert (checked["file"], checked["problems"]) == ("specs/owner.yaml", [])
