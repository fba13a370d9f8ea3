"""Wheels and source distributions, built as a release builds them."""

import subprocess
import sys
from pathlib import Path
from typing import Literal


def build(folder: Path, kind: Literal["wheel", "sdist"], out: Path) -> Path:
    """Build the project in a folder.

    Args:
        folder: the folder with `pyproject.toml`.
        kind: what to build.
        out: an empty folder, or one that does not exist yet.
    Returns:
        The file that was built.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built
