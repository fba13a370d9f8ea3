"""The trainer as a supervisor meets it: a process, two pipes, a folder of files."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fornada.db.states import FailureCode, StopReason
from fornada.worker.messages import EpochReport, Failed, Finished, Started, Stop, Stopped, WhyStop
from fornada.worker.trainer.process.pipes import EXIT_ABANDONED
from tests.services.trainer_jobs import TrainerProcess, document, job, write_images
from tests.until import until


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("process")
    write_images(root / "Train", {"a": 24, "b": 24, "c": 24})
    write_images(root / "Test", {"a": 6, "b": 7, "c": 8}, seed=1)
    return root


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[TrainerProcess]:
    with TrainerProcess(tmp_path / "home") as trainer:
        yield trainer


CHECKPOINT = {"ModelCheckpoint": {"monitor": "val_loss", "verbose": 1, "save_weights_only": True}}


def test_a_job_from_start_to_end(root: Path, tmp_path: Path, trainer: TrainerProcess) -> None:
    folder = tmp_path / "attempt-1"
    spec = document(callbacks=[CHECKPOINT], fit__epochs=4)
    trainer.send(job(spec, root, folder))
    started, *epochs, finished = trainer.messages()
    assert trainer.wait(20) == 0

    assert isinstance(started, Started)
    assert started.trainer_pid == trainer.pid
    assert (started.data.train, started.data.validation, started.data.test) == (54, 18, 21)
    assert started.data.classes == ["a", "b", "c"]
    assert started.parameters == 192 * 16 + 16 + 16 * 3 + 3
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    assert isinstance(finished, Finished)
    assert finished.stop_reason is StopReason.COMPLETED
    _best_is_the_least(epochs, finished)
    _files_are_as_reported(folder, finished)
    _history_is_as_reported(folder, epochs)
    _loads_without_fornada(folder / "best.keras", root, finished)


def _best_is_the_least(epochs: list[EpochReport], finished: Finished) -> None:
    losses = [epoch.metrics["val_loss"] for epoch in epochs]
    assert finished.best.value == min(losses)
    assert finished.best.epoch == losses.index(min(losses)) + 1
    improved = [epoch.number for epoch in epochs if epoch.best is not None]
    least = np.minimum.accumulate(losses)
    assert improved == [i + 1 for i in range(4) if i == 0 or least[i] < least[i - 1]]


def _files_are_as_reported(folder: Path, finished: Finished) -> None:
    files = {file.kind: file for file in finished.files}
    assert set(files) == {
        "best_model", "weights", "last_model", "history", "evaluation", "spec", "environment",
        "tensorboard", "log", "training_state",
    }  # fmt: skip
    # The supervisor removes them.
    lasting = {path.name for path in folder.glob("best-*.keras")}
    assert f"best-{finished.best.epoch}.keras" in lasting
    assert {file.path.relative_to(folder).parts[0] for file in finished.files} == {
        path.name for path in folder.iterdir()
    } - lasting
    for file in finished.files:
        if file.kind == "tensorboard":
            assert file.bytes > 0
            continue
        content = file.path.read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert files["best_model"] == finished.best.file
    assert finished.test is not None
    assert json.loads((folder / "evaluation.json").read_text()) == finished.test.model_dump()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["seeds"] == {"python": 1, "numpy": 1, "keras": 1}
    assert "Epoch 1: val_loss improved from None to " in (folder / "train.log").read_text()
    runs = sorted(path.name for path in (folder / "tensorboard").iterdir())
    assert runs == ["train", "validation"]


def _history_is_as_reported(folder: Path, epochs: list[EpochReport]) -> None:
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [epoch.number for epoch in epochs]
    for row, epoch in zip(rows, epochs, strict=True):
        for name, value in epoch.metrics.items():
            assert float(row[name]) == value


def _loads_without_fornada(model: Path, root: Path, finished: Finished) -> None:
    """The recorded test numbers, from plain Keras and the folder alone."""
    code = """
        import sys, json
        import keras, numpy as np
        assert not any("fornada" in name for name in sys.modules)
        model = keras.models.load_model(sys.argv[1])
        data = keras.utils.image_dataset_from_directory(
            sys.argv[2], image_size=(8, 8), batch_size=8, shuffle=False, verbose=False)
        loss, accuracy = model.evaluate(data, verbose=0)
        predicted = np.argmax(model.predict(data, verbose=0), axis=1).tolist()
        labels = np.concatenate([y for _, y in data]).tolist()
        print(json.dumps([loss, accuracy, labels, predicted]))
    """
    # -I: neither the current folder nor PYTHONPATH; the installed project is removed from the path.
    head = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' in p or 'python3' in p]\n"
    )
    output = subprocess.run(
        [sys.executable, "-I", "-c", head + textwrap.dedent(code), model, root / "Test"],
        check=True,
        capture_output=True,
        text=True,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"),
    ).stdout
    loss, accuracy, labels, predicted = json.loads(output.splitlines()[-1])
    test = finished.test
    assert test is not None
    assert test.loss == pytest.approx(loss, rel=1e-6)
    assert test.metrics == {"sparse_categorical_accuracy": pytest.approx(accuracy, rel=1e-6)}
    assert test.confusion_matrix == [
        [sum((t, p) == (i, j) for t, p in zip(labels, predicted, strict=True)) for j in range(3)]
        for i in range(3)
    ]


def test_stop_in_mid_training(root: Path, tmp_path: Path, trainer: TrainerProcess) -> None:
    trainer.send(job(document(fit__epochs=100_000), root, tmp_path / "attempt-1"))
    messages = trainer.messages()
    assert isinstance(next(messages), Started)
    assert isinstance(next(messages), EpochReport)
    _is_confined(trainer.pid)
    trainer.send(Stop(job_id=1, attempt=1, reason=WhyStop.TIME_LIMIT))
    stopped = next(message for message in messages if not isinstance(message, EpochReport))
    # As a supervisor does that has its verdict: the trainer still ends well.
    trainer.hang_up()
    assert isinstance(stopped, Stopped)
    assert stopped.reason is WhyStop.TIME_LIMIT
    assert stopped.best is not None
    assert {"best_model", "history", "log"} <= {file.kind for file in stopped.files}
    assert trainer.wait(20) == 0


def _is_confined(pid: int) -> None:
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {0}
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    # The kernel kills it before the database, the worker or a person's session.
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"


def test_the_end_of_the_pipe_ends_it(root: Path, tmp_path: Path, trainer: TrainerProcess) -> None:
    trainer.send(job(document(fit__epochs=100_000), root, tmp_path / "attempt-1"))
    assert isinstance(next(trainer.messages()), Started)
    trainer.hang_up()
    assert trainer.wait(5) == EXIT_ABANDONED


def test_the_end_of_the_pipe_ends_one_that_waits(trainer: TrainerProcess) -> None:
    trainer.hang_up()
    assert trainer.wait(20) == EXIT_ABANDONED


def test_it_dies_with_the_worker_and_not_with_who_asked_for_it(tmp_path: Path) -> None:
    # The pipe's other end is held here, so that only the death signal can end it.
    down, held = os.pipe()
    code = """
        import os, signal, sys, threading
        from fornada.worker.slots.factory import Factory
        factory = Factory([sys.executable, "-P", "-m", "fornada.worker.trainer"], os.environ)
        def ask():
            while not factory.ready(60):
                pass
            print(factory.fork({}, [int(sys.argv[1])] * 3), flush=True)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        print(factory.pid, flush=True)
        signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(down)],
        env=dict(os.environ, FORNADA_HOME=str(tmp_path)),
        pass_fds=[down],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        assert [_status(pid)["PPid"] for pid in pids] == [str(parent.pid)] * 2
        assert _status(pids[0])["NoNewPrivs"] == "1"
        parent.send_signal(signal.SIGKILL)
        for pid in pids:
            until(lambda: _status(pid).get("State", "Z").startswith("Z"), 2)  # noqa: B023
    os.close(down)
    os.close(held)


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_nonsense_ends_it(trainer: TrainerProcess) -> None:
    trainer.write(b"{}\n")
    assert trainer.wait(20) == EXIT_ABANDONED


def test_a_log_that_cannot_be_opened_is_a_verdict(
    root: Path, tmp_path: Path, trainer: TrainerProcess
) -> None:
    folder = tmp_path / "attempt-1"
    (folder / "train.log").mkdir(parents=True)
    trainer.send(job(document(), root, folder))
    (failed,) = trainer.messages()
    assert isinstance(failed, Failed)
    assert failed.code is FailureCode.ARTIFACT_WRITE
    assert "train.log" in failed.message
    assert trainer.wait(20) == 0


def test_keras_is_imported_without_jax_and_without_files_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.1}')
    code = (
        "from fornada.worker.trainer.process.keras_import import import_keras; import_keras()\n"
        "import sys; from keras import config\n"
        "print(config.floatx(), config.epsilon(), config.image_data_format(), config.backend())\n"
        # Half a second of each start; a model may still use it.
        "print([name for name in sys.modules if name.startswith('jax')])\n"
        "import jax; print(jax.__name__)"
    )
    environment = dict(os.environ, KERAS_HOME=str(tmp_path), FORNADA_HOME=str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout == b"float32 1e-07 channels_last tensorflow\n[]\njax\n"


def test_a_look_at_data_is_a_process(root: Path, tmp_path: Path) -> None:
    write_images(root / "Bad", {"a": 3, "b": 3, "c": 3})
    (root / "Bad" / "a" / "x.png").touch()
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(document(data__train="Bad")))
    command: list[Any] = [sys.executable, "-P", "-m", "fornada.worker.trainer", "data", file]
    command += ["--data-root", root]
    # JAX sets it where it is imported, as it may be in this process.
    environment = {name: os.environ[name] for name in os.environ if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["code"] == "DATA_INVALID"
    assert "Bad/a/x.png: the file is empty" in answer["message"]
