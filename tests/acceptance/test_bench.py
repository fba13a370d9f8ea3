"""Every benchmark runs, at its smallest size; what it measures then says nothing."""

import json
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
            "--data Data --nets dense --batches 1024 --epochs 2 --backends tensorflow",
            {"dense, batch 1024"},
        ),
        (
            "job",
            "--data Data --nets dense --epochs 1",
            {
                "dense, 1 epochs",
                "dense, 1 epochs: accuracy",
                "dense, 1 epoch on Data/",
                "dense, 1 epoch on Data/: accuracy",
            },
        ),
        ("sweep", "--rates 1 --seeds 1", {"1 jobs of 3 epochs"}),
        ("packs", "--data Data", None),
        ("state", "--models convolutional --epoch-s 0.1", None),
        (
            "queueing",
            "--jobs 10 --one-by-one 2 --specs 3 --slots 2 --history 2000 --idle-workers 2 "
            "--idle-s 1",
            None,
        ),
    ],
)
def test_a_benchmark_runs(name: str, options: str, groups: set[str] | None, tmp_path: Path) -> None:
    found = run(name, tmp_path, *options.split())
    measured = {row["group"] for row in found["rows"]}
    assert measured == groups or (groups is None and measured)
