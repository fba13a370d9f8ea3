"""A benchmark runs, at its smallest size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.installed import REPOSITORY


def run(name: str, out: Path, *options: str) -> dict[str, Any]:
    """Run a benchmark; what it wrote."""
    command = [sys.executable, "-P", "-m", f"bench.{name}", "--out", str(out), "--rounds", "1"]
    done = subprocess.run(
        [*command, *options], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    assert all(row["value"] > 0 for row in document["rows"]), document["rows"]
    return document


def test_history_asks_every_database_twenty_questions(tmp_path: Path) -> None:
    found = run("history", tmp_path, "--jobs", "100", "--epochs", "2", "--times", "1")
    asked = [row["group"] for row in found["rows"]]
    databases = ("PostgreSQL", "SQLite, WAL", "SQLite, TRUNCATE")
    assert asked == [f"{name}: 100 jobs" for name in databases for _ in range(20)]
