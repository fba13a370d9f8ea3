"""`fornada run`: one command from a spec to a trained model, and what it leaves."""

import csv
import hashlib
import re
import shutil
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from fornada.db.answers import JobAnswer, MetricsAnswer
from tests.acceptance.installed import PATIENCE_S, REPOSITORY, Fornada, end
from tests.acceptance.specs import ENDLESS, small
from tests.answers import wrong

DOCUMENTED = {
    *("id", "uid", "name", "state", "queue", "priority", "user", "tags", "submitted_at"),
    *("started_at", "finished_at", "attempts", "epochs_run", "stop_reason", "monitor", "best"),
    *("metrics", "test", "failure", "worker", "device", "backend", "seed", "data", "spec"),
}


def test_run_trains_reports_records_and_leaves_nothing(fornada: Fornada, tmp_path: Path) -> None:
    done = fornada("run", small(tmp_path))
    assert fornada.processes() == {}
    # The answer on stdout, progress on stderr.
    for said in ("Job 1  small", "2 of 2, completed", "Confusion matrix", "Best model: /"):
        assert said in done.stdout
    assert "epoch 1/2" in done.stderr
    assert "images/s" in done.stderr
    # The record, with no stack up.
    document = fornada.show("@last")
    assert set(document) >= DOCUMENTED
    assert wrong(document, JobAnswer) == []
    page = (REPOSITORY / "docs" / "cli.md").read_text()
    assert not [key for key in document if f"`{key}`" not in page]
    assert document["state"] == "succeeded"
    assert document["epochs_run"] == 2
    assert datetime.fromisoformat(document["finished_at"]).utcoffset() is not None
    assert document["failure"] is None
    assert document["worker"]["trainer_pid"] > 0
    assert document["data"]["train"] == 1800
    assert document["data"]["validation"] == 200
    assert document["data"]["test"] == 500
    # The best model's file is the one recorded.
    best = document["best"]
    content = Path(best["path"]).read_bytes()
    assert len(content) == best["bytes"]
    assert hashlib.sha256(content).hexdigest() == best["sha256"]
    assert done.stdout.rstrip().endswith(f"Best model: {best['path']}")
    # Its report adds up.
    test = document["test"]
    assert sum(map(sum, test["confusion_matrix"])) == 500
    right = sum(row[place] for place, row in enumerate(test["confusion_matrix"]))
    assert test["metrics"]["sparse_categorical_accuracy"] == pytest.approx(right / 500, abs=1e-6)
    # History and metrics tell the same.
    (row,) = fornada("ls", "--json").document["jobs"]
    assert (row["id"], row["state"], row["best"]["value"]) == (1, "succeeded", best["value"])
    metrics = fornada("metrics", 1, "--json").document
    assert wrong(metrics, MetricsAnswer) == []
    assert [epoch["epoch"] for epoch in metrics["epochs"]] == [1, 2]
    # In a pipe they are a table with a header and all digits.
    table = [*csv.DictReader(fornada("metrics", 1).stdout.splitlines(), delimiter="\t")]
    assert [float(row["val_loss"]) for row in table] == [
        epoch["metrics"]["val_loss"] for epoch in metrics["epochs"]
    ]
    assert [int(row["epoch"]) for row in table] == [1, 2]
    # What decided the numbers, and those of training beside those of validation.
    said = fornada("show", 1).stdout
    assert "Adam(learning_rate=0.005)" in said
    assert f"{document['parameters']:,}" == "12,730" in said
    values = metrics["epochs"][best["epoch"] - 1]["metrics"]
    (loss,) = re.findall(r"^loss +(\S+) +(\S+)$", said, re.MULTILINE)
    assert loss == (f"{values['loss']:.4g}", f"{values['val_loss']:.4g}")
    assert document["metrics"]["val_loss"]["min"] == min(
        epoch["metrics"]["val_loss"] for epoch in metrics["epochs"]
    )
    read = fornada("logs", 1)
    assert "epoch 2/2" in read.stdout
    assert read.stderr.splitlines()[-1].startswith("-- job 1 succeeded after 2 of 2 epochs")


def test_run_says_at_once_that_it_starts_a_stack(fornada: Fornada, tmp_path: Path) -> None:
    spec = small(tmp_path, epochs=1)
    running = fornada.start("run", spec)
    assert running.stderr is not None
    assert str(fornada.home) in running.stderr.readline()
    # Said before the job exists, and so before the seconds in which the worker imports Keras.
    assert "job 1" not in running.stderr.readline()
    assert running.wait(PATIENCE_S) == 0
    for option in ("-q", "--json"):
        assert str(fornada.home) not in fornada("run", option, spec).stderr


def test_bad_data_is_refused_and_nothing_is_left(fornada: Fornada, tmp_path: Path) -> None:
    fornada("run", small(tmp_path, train="no-such-folder"), code=3)
    assert fornada.processes() == {}
    assert fornada("ls", "-q").stdout == ""
    # Nobody holds the stack, so another one can start.
    assert end(fornada.up(), signal.SIGTERM).code == 0


def test_run_puts_its_job_before_those_that_an_earlier_stack_left(
    fornada: Fornada, tmp_path: Path
) -> None:
    left = small(tmp_path, "left")
    fornada("submit", "--priority", "7", left, left)
    fornada("run", small(tmp_path, "now"))
    now = fornada.show(3)
    assert (now["state"], now["priority"]) == ("succeeded", 8)


def test_a_retry_warns_of_changed_images(fornada: Fornada, tmp_path: Path) -> None:
    images = tmp_path / "Train"
    shutil.copytree(REPOSITORY / "Data" / "Test", images)
    running = fornada.start("run", small(tmp_path, epochs=ENDLESS, train=str(images)))
    _until_queued(running)
    fornada.wait_for_epoch(1, 1)
    end(running, signal.SIGINT)
    one = next(images.glob("*/*"))
    one.rename(one.with_stem("changed"))
    said = fornada("retry", 1).stderr
    assert "its images have changed" in said
    assert "no stack is up" in said
    fornada("cancel", 1)
    one.with_stem("changed").rename(one)
    assert "have changed" not in fornada("retry", 1).stderr


def test_ctrl_c_stops_the_job_of_run_which_goes_on_later(fornada: Fornada, tmp_path: Path) -> None:
    running = fornada.start("run", small(tmp_path, epochs=ENDLESS))
    _until_queued(running)
    fornada.wait_for_epoch(1, 1)
    ended = end(running, signal.SIGINT)
    assert ended.code == 130
    assert "fornada retry 1" in ended.stderr
    assert fornada.processes() == {}
    stopped = fornada.show(1)
    assert (stopped["state"], stopped["cancel_reason"]) == ("cancelled", "Ctrl-C in fornada run")
    # The next run trains its own job, and the stopped one goes on where it was.
    assert fornada("run", "-q", small(tmp_path, "other")).stdout == "2\n"
    assert fornada.show(1)["attempts"] == 1
    fornada("retry", 1)
    stack = fornada.up()
    fornada.wait_for(1, lambda job: job["executions"][-1]["resumed"] is not None)
    fornada("cancel", 1)
    fornada.wait_for(1, lambda job: job["state"] == "cancelled")
    assert end(stack, signal.SIGTERM).code == 0
    resumed = fornada.show(1)["executions"][-1]["resumed"]
    assert resumed["epoch"] >= stopped["epochs_run"]
    assert resumed["inexact"] is None


@pytest.mark.parametrize(
    ("how", "by"),
    [
        (signal.SIGINT, "Ctrl-C"),
        (signal.SIGHUP, "a closed terminal (SIGHUP)"),
        (signal.SIGTERM, "SIGTERM"),
    ],
)
def test_a_signal_before_the_first_epoch_stops_the_job_too(
    fornada: Fornada, tmp_path: Path, how: signal.Signals, by: str
) -> None:
    running = fornada.start("run", small(tmp_path, epochs=ENDLESS))
    _until_queued(running)
    assert end(running, how).code == 130
    assert fornada.processes() == {}
    stopped = fornada.show(1)
    assert (stopped["state"], stopped["cancel_reason"]) == ("cancelled", f"{by} in fornada run")


def test_a_job_that_needs_a_gpu_never_starts_here(fornada: Fornada, tmp_path: Path) -> None:
    done = fornada("run", small(tmp_path, gpus="1"), code=14)
    assert "asks for a GPU" in done.stderr
    assert fornada.show(1)["state"] == "queued"


def _until_queued(running: "subprocess.Popen[str]") -> None:
    """Wait until `run` has queued its job."""
    assert running.stderr is not None
    assert "job 1: small, in queue default\n" in running.stderr
