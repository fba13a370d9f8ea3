"""The trainer on JAX: tests of it again, in a process whose Keras is imported with that backend."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)

HERE = Path(__file__).parent
AGAIN = tuple(
    f"test_parity.py::test_models_end_as_under_fit[{name}]"
    for name in ("dense", "conv", "batch norm", "dropout")
)


def test_on_jax() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *AGAIN],
        cwd=HERE,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
