"""A training on JAX that was killed and goes on: on JAX equal, bit for bit, to one that never was.

On the other backend it goes on too, and says that exactness is lost.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fornada.worker.messages import EpochReport, Finished, Started
from fornada.worker.trainer.state.finding import states
from tests.services.resuming import (
    attempt,
    history,
    last_state,
    noisy,
    outcome,
    same,
    write_noisy,
)
from tests.services.trainer_jobs import TrainerProcess, job

pytestmark = pytest.mark.timeout(1200)


def start(monkeypatch: pytest.MonkeyPatch, backend: str, root: Path) -> TrainerProcess:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    # A state of every epoch, whatever it costs.
    return TrainerProcess(root / "home", state_every_s=1e-9, state_share=1)


def test_memory_that_is_exhausted_on_jax(tmp_path: Path) -> None:
    code = (
        "from fornada.worker.trainer.process.keras_import import import_keras; import_keras()\n"
        "import jax.numpy as jnp\n"
        "from fornada.worker.trainer.failures import failure\n"
        "try: jnp.zeros(1 << 44)\n"
        "except Exception as error: print(failure(error).code)"
    )
    environment = dict(os.environ, KERAS_BACKEND="jax", FORNADA_HOME=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout == b"HOST_OOM\n"


def test_resuming_on_jax_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_noisy(tmp_path)
    straight = attempt(tmp_path, 1, "straight")
    with start(monkeypatch, "jax", tmp_path) as trainer:
        trainer.send(job(noisy(6), tmp_path, straight))
        *_, reference = trainer.messages()
    assert isinstance(reference, Finished), reference

    folders = killed_after_three(tmp_path, monkeypatch, "jax")
    started, finished = gone_on(tmp_path, monkeypatch, "jax", folders)

    assert started.inexact is None
    same(outcome(folders[1], finished), outcome(straight, reference))


@pytest.mark.parametrize(("first", "second"), [("tensorflow", "jax"), ("jax", "tensorflow")])
def test_another_backend_goes_on_and_says_so(
    first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noisy(tmp_path)

    folders = killed_after_three(tmp_path, monkeypatch, first)
    rows = history(last_state(folders[0]))
    started, finished = gone_on(tmp_path, monkeypatch, second, folders)

    assert started.inexact is not None
    assert f"backend {first}, now {second}" in started.inexact
    after = outcome(folders[1], finished).history
    # What was done is kept as it was; the rest is new.
    assert after[: len(rows)] == rows
    assert len(rows) == started.first_epoch - 1 < len(after) == 6


def killed_after_three(root: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> list[Path]:
    """Folders of an attempt that was killed in its fourth epoch or later, and of the next one."""
    folders = [attempt(root, number, "killed") for number in (1, 2)]
    with start(monkeypatch, backend, root) as trainer:
        trainer.send(job(noisy(6), root, folders[0]))
        while not (isinstance(said := trainer.next(), EpochReport) and said.number == 3):
            assert said is not None
        trainer.kill()
    assert states(folders[0])
    return folders


def gone_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, backend: str, folders: list[Path]
) -> tuple[Started, Finished]:
    """What the next attempt said first and last."""
    order = job(noisy(6), root, folders[1], attempt=2, resume_from=folders[:1])
    with start(monkeypatch, backend, root) as trainer:
        trainer.send(order)
        started, *_, finished = trainer.messages()
    assert isinstance(started, Started), started
    assert isinstance(finished, Finished), finished
    assert started.first_epoch > 3
    return started, finished
