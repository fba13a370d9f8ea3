"""Runs what is compared, as a person would: the plain scripts and the installed `fornada`."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench import processes
from bench.nets import Training
from fornada.client import Client
from fornada.settings import Settings
from tests.until import until

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("fornada")
# For a stack to come up or to go.
PATIENCE_S = 600.0
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}


def seconds(command: Sequence[str | Path], **environment: str) -> float:
    """How long a command takes, to its end."""
    return timed(lambda: output(command, **environment))


def timed(work: Callable[[], object]) -> float:
    """How long it takes, in seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def output(command: Sequence[str | Path], **environment: str) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(
        [*map(str, command)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = " ".join(map(str, command[:4]))
        raise RuntimeError(f"{words} … ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def script(name: str, training: Training, *more: str) -> list[str | Path]:
    """The command of a plain script."""
    return [sys.executable, HERE / f"{name}.py", *training.options(), *more]


def told_by_script(name: str, training: Training, *more: str) -> dict[str, Any]:
    """What a plain script prints at its end: `epochs`, their seconds; perhaps `accuracy`."""
    printed = output(script(name, training, *more)).splitlines()[-1]
    found: dict[str, Any] = json.loads(printed)
    return found


def gpu_matrix_rate(backend: str) -> float:
    """Floating point operations a second of a GPU's best float32 matrix product, by a backend."""
    return float(output([sys.executable, HERE / "matrix.py"], KERAS_BACKEND=backend).split()[-1])


def missing(package: str) -> bool:
    """Whether a package is not installed here."""
    return importlib.util.find_spec(package) is None


class Home:
    """A home of Fornada of its own, with the embedded stack, for one benchmark."""

    def __init__(self, backend: str = "tensorflow", **environment: str) -> None:
        # Short: a socket lies in it.
        self.folder = Path(tempfile.mkdtemp(prefix="fb-", dir="/tmp"))
        self.environment = {
            "FORNADA_HOME": str(self.folder),
            "KERAS_BACKEND": backend,
            **environment,
        }

    def __enter__(self) -> "Home":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def spec(self, training: Training) -> Path:
        """A training's spec as a file."""
        text = training.text()
        folder = self.folder / "specs"
        folder.mkdir(exist_ok=True)
        file = folder / f"{training.net}-{training.rate}-{training.seed}.yaml"
        file.write_text(text)
        return file

    def __call__(self, *words: object) -> str:
        """What `fornada` with these words prints."""
        return output([PROGRAM, *map(str, words)], **self.environment)

    def timed(self, words: Sequence[object]) -> float:
        """How long `fornada` with these words takes, in seconds, whatever its exit code says."""
        command = [str(PROGRAM), *map(str, words)]
        run = partial(subprocess.run, command, capture_output=True, check=False)
        return timed(lambda: run(env=os.environ | self.environment))

    def client(self) -> Client:
        """A client of it, for looks that are no part of what is measured.

        A command takes most of a second of processor time for each look.
        """
        return Client(Settings(home=self.folder))

    def epochs(self, job: int | str = "@last") -> list[float]:
        """Seconds of each epoch of a job, validation, callbacks and saved states included."""
        with self.client() as client:
            return [epoch["seconds"] for epoch in client.metrics(job)["epochs"]]

    def accuracy(self, job: int | str = "@last") -> float:
        """Of a job's best model, on what it validates on."""
        with self.client() as client:
            epochs = [epoch["metrics"] for epoch in client.metrics(job)["epochs"]]
        best = min(epochs, key=lambda metrics: float(metrics["val_loss"]))
        return float(best["val_sparse_categorical_accuracy"])

    @contextmanager
    def up(self) -> Iterator[None]:
        """The stack, with one slot and a trainer that waits, loaded, for its first job."""
        with subprocess.Popen(
            [PROGRAM, "up", "--slots", "1", "--quiet"],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as stack:
            try:
                with self.client() as client:
                    until(lambda: self._idle(stack, client), PATIENCE_S)
                yield
            finally:
                stack.terminate()
                stack.wait(PATIENCE_S)

    def _idle(self, stack: "subprocess.Popen[bytes]", client: Client) -> bool:
        if stack.poll() is not None:
            raise AssertionError(f"the stack ended with {stack.returncode}")
        idle = any(row["state"] == "idle" for row in client.workers())
        return idle and processes.at_rest(self.folder)
