"""Every benchmark runs, at its smallest size; what it measures then says nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.installed import REPOSITORY


def run(name: str, out: Path, *options: str) -> dict[str, Any]:
    """Run a benchmark; what it wrote."""
    command = [sys.executable, "-P", "-m", f"bench.{name}", "--out", str(out), "--rounds", "1"]
    done = subprocess.run(
        [*command, *options], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    # An idle host may do nothing at all for as long as one looks.
    wrong = [row for row in document["rows"] if not row["value"] > 0 and row["unit"] != "%"]
    assert wrong == []
    return document


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the images of Data/."""
    folder = tmp_path_factory.mktemp("few")
    for file in sorted((REPOSITORY / "Data").glob("*/*/*.png"))[::10]:
        target = folder / file.relative_to(REPOSITORY / "Data")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder


def test_history_asks_every_database_twenty_questions(tmp_path: Path) -> None:
    found = run("history", tmp_path, "--jobs", "100", "--epochs", "2", "--times", "1")
    asked = [row["group"] for row in found["rows"]]
    databases = ("PostgreSQL", "SQLite, WAL", "SQLite, TRUNCATE")
    assert asked == [f"{name}: 100 jobs" for name in databases for _ in range(20)]


@pytest.mark.parametrize(
    ("name", "options", "groups"),
    [
        (
            "epochs",
            "--data {few} --nets dense --batches 1024 --epochs 2 --backends tensorflow",
            {"dense, batch 1024"},
        ),
        (
            "job",
            "--data {few} --nets dense --epochs 1",
            {
                "dense, 1 epochs",
                "dense, 1 epochs: accuracy",
                "dense, 1 epoch on Data/",
                "dense, 1 epoch on Data/: accuracy",
            },
        ),
        ("sweep", "--rates 1 --seeds 1", {"1 jobs of 3 epochs"}),
        ("commands", "", None),
        ("packs", "--data {few}", None),
        ("state", "--models convolutional --epoch-s 0.1 --epochs 3", None),
        (
            "queueing",
            "--jobs 10 --one-by-one 2 --specs 3 --slots 2 --history 100 --waiting 20 --claims 20 "
            "--pages 2 --idle-workers 2 --idle-s 1",
            None,
        ),
    ],
)
def test_a_benchmark_runs(
    name: str, options: str, groups: set[str] | None, few: Path, tmp_path: Path
) -> None:
    found = run(name, tmp_path, *options.format(few=few).split())
    measured = {row["group"] for row in found["rows"]}
    assert measured == groups or (groups is None and measured)
