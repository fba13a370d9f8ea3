"""`reproducibility: deterministic`: two runs, same bits; each in a process of its own.

Determinism once asked for cannot be taken back, and other tests share this process.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.killed import Job
from tests.services.resuming import last_state, noisy, outcome, same, write_noisy

pytestmark = pytest.mark.timeout(1200)

# So many epochs that one of them is caught on the way, however busy the machine.
SPEC = noisy(
    10,
    reproducibility="deterministic",
    model=[
        {"RandomRotation": {"factor": 0.1}},
        {"RandomContrast": {"factor": 0.2}},
        *noisy()["model"],
    ],
)


def test_two_runs_give_the_same_bits(tmp_path: Path) -> None:
    write_noisy(tmp_path)
    with Job(SPEC, tmp_path, tmp_path, "one") as one, Job(SPEC, tmp_path, tmp_path, "two") as two:
        runs = [one.start(last=True), two.start()]
        # One of them on the way through a state.
        runs[1].catch(lambda: runs[1].epoch >= 2)
        runs[1].drain()
        runs[1] = two.start(last=True)
        outcomes = [outcome(run.folder, run.finish()) for run in runs]
        same(*outcomes)
        for run in runs:
            assert run.started.reproducibility == "deterministic"
            environment = json.loads((run.folder / "environment.json").read_text())
            assert environment["reproducibility"] == "deterministic"
            assert last_state(run.folder).facts.origin.reproducibility == "deterministic"
            assert "reproducibility: deterministic operations" in run.log


def test_operations_without_a_seed_are_refused() -> None:
    code = (
        "import tensorflow as tf; from fornada.worker.trainer.engine import make_deterministic\n"
        "tf.random.uniform([]); make_deterministic()\n"
        "try: tf.random.uniform([])\n"
        "except RuntimeError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "refused"
