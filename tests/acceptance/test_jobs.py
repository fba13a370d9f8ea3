"""Jobs on a stack that is up: every way to submit, follow and end them, with its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.installed import PATIENCE_S, PROGRAM, REPOSITORY, Fornada, end
from tests.acceptance.specs import ENDLESS, small


@pytest.fixture(scope="module")
def trained(stack: Fornada, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a job that succeeded."""
    file = small(tmp_path_factory.mktemp("specs"), "trained")
    job = stack("submit", "-q", file, "--tag", "owner=ana", "--tag", "run=1").stdout.strip()
    stack("wait", "-q", job)
    return job


def test_the_program_of_the_python_page_runs(stack: Fornada) -> None:
    page = (REPOSITORY / "docs" / "python.md").read_text()
    program = "".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=REPOSITORY,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # What the comments beside the lines promise.
    lines = done.stdout.splitlines()
    for promised in ("cancelled", "queued", "3", "JOB_NOT_FOUND 10000000", "WAIT_TIMED_OUT"):
        assert promised in lines
    wrong = [line.split()[0] for line in lines if " SPEC_INVALID " in line]
    assert sorted(wrong) == ["data.batch_sise", "fit.epochs"]


def test_ids_alone_can_be_waited_for(stack: Fornada, trained: str) -> None:
    assert trained.isdigit()
    assert stack.show(trained)["tags"] == {"owner": "ana", "run": "1"}
    report = stack("wait", trained)
    assert "Confusion matrix" in report.stdout


def test_a_terminal_gets_a_bar_of_epochs(stack: Fornada, trained: str) -> None:
    said = stack.on_terminal("wait", trained)
    assert f"job {trained} trained" in said
    assert "━" in said
    assert "2/2" in said
    assert "images/s" in said
    # What the report paints: the diagonal of the confusion matrix.
    assert "\x1b[32m" in said.partition("Confusion matrix")[2]


def test_a_job_goes_by_id_uid_and_last(stack: Fornada, trained: str, tmp_path: Path) -> None:
    uid = stack.show(trained)["uid"]
    assert stack.show(uid)["id"] == int(trained)
    told = stack("submit", small(tmp_path, "last", queue="nowhere"), "--wait-for-worker").stderr
    assert "no worker serves its queue yet" in told
    last = str(stack.show("@last")["id"])
    assert f"job {last}: last, in queue nowhere" in told
    # Both began within the same weeks.
    assert "2 (" in stack("show", uid[:4], code=4).stderr
    assert stack.show("@last")["id"] == int(last)
    done = stack("cancel", "-q", f"{last}-{last}")
    assert done.stdout == f"{last}\n"


def test_json_of_submit_wait_and_metrics(stack: Fornada, tmp_path: Path) -> None:
    accepted = stack("submit", "--json", small(tmp_path, "documents")).document
    (job,) = accepted
    assert set(job) == {"id", "uid", "warning", "known_by", "warnings"}
    assert job["warning"] is None
    document = stack("wait", "--json", job["id"]).document
    assert (document["uid"], document["state"]) == (job["uid"], "succeeded")
    epochs = stack("metrics", "--json", job["id"]).document["epochs"]
    assert set(epochs[0]) == {
        *("epoch", "attempt", "seconds", "images_per_s", "learning_rate", "metrics")
    }


def test_what_has_been_trained_is_not_trained_again(stack: Fornada, tmp_path: Path) -> None:
    # Of its own: the last equal job is named, and other tests train small specs too.
    file = small(tmp_path, "trained-again", epochs=3)
    trained = stack("submit", "-q", file, "--needed").stdout.strip()
    stack("wait", "-q", trained)
    done = stack("submit", file, "--needed")
    assert f"job {trained} has already trained this spec" in done.stderr
    assert stack("submit", "-q", file, "--needed").stdout == f"{trained}\n"
    # Files that are gone are not named as if they were there, and are made again.
    best = Path(stack.show(trained)["best"]["path"])
    best.unlink()
    assert stack.show(trained)["best"]["exists"] is False
    assert f"Best model gone: {best}" in stack("show", trained).stdout
    done = stack("submit", file, "--needed", "--wait", "--json")
    anew = done.document
    assert str(anew["id"]) != trained
    assert f"{best} is gone" in done.stderr
    assert Path(anew["best"]["path"]).exists()
    # Other data, other spec: a job.
    other = stack("submit", "-q", file, "--needed", "--set", "data.seed=7", "--hold").stdout
    assert other.strip() != trained
    stack("cancel", other.strip())
    before = stack("ls", "-q").stdout
    done = stack("submit", small(tmp_path, "away", train="Data/None"), "--needed", code=2)
    assert "cannot be read here" in done.stderr
    assert "Data/None" in done.stderr
    assert stack("ls", "-q").stdout == before


def test_a_finished_job_is_extended(stack: Fornada, trained: str) -> None:
    done = stack("extend", trained, "--epochs", "+2")
    assert f"continues job {trained}" in done.stderr
    job = stack("wait", "--json", "@last").document
    assert (job["state"], job["epochs_run"], job["continues"]) == ("succeeded", 4, int(trained))
    before = stack("metrics", "--json", trained).document["epochs"]
    epochs = stack("metrics", "--json", job["id"]).document["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    assert [one["metrics"] for one in epochs[:2]] == [one["metrics"] for one in before]
    assert "continues  " in stack("show", job["id"]).stdout
    # The old job stays as it was.
    assert stack.show(trained)["epochs_run"] == 2


def test_what_cannot_be_extended_is_told_with_what_to_do(stack: Fornada, tmp_path: Path) -> None:
    early = small(tmp_path, "early", epochs=50)
    stopping = "callbacks: [{EarlyStopping: {monitor: loss, patience: 0, min_delta: 10}}]\n"
    early.write_text(early.read_text() + stopping)
    job = stack("submit", "-q", "--wait", early).stdout.strip()
    said = stack("extend", job, "--epochs", "+5", code=5).stderr
    assert f"job {job} stopped early at epoch 2 of 50" in said
    assert f"fornada clone {job} --set callbacks.EarlyStopping.patience=N" in said
    held = stack("submit", "-q", small(tmp_path, "held"), "--hold").stdout.strip()
    assert f"fornada wait {held}" in stack("extend", held, "--epochs", "+5", code=5).stderr
    stack("cancel", held)
    assert f"fornada retry {held}" in stack("extend", held, "--epochs", "+5", code=5).stderr


def test_submit_follows_several_and_ends_with_the_first_bad_one(
    stack: Fornada, tmp_path: Path
) -> None:
    # What no look at folders shows: a file that is no image.
    for label in range(10):
        (tmp_path / "Bad" / str(label)).mkdir(parents=True)
        (tmp_path / "Bad" / str(label) / "text.png").write_text("words")
    good = small(tmp_path, "good")
    bad = small(tmp_path, "bad", train=str(tmp_path / "Bad"))
    done = stack("submit", "-f", "--set", "data.validation_split=null", good, bad, code=10)
    assert "epoch 2/2" in done.stderr
    assert "2 of 2, completed" in done.stdout
    assert "DATA_INVALID" in done.stdout
    job = stack.show("@last")
    assert job["failure"]["code"] == "DATA_INVALID"
    assert "Bad/0/text.png" in job["failure"]["message"]


def test_folders_of_this_machine_that_fail_a_job_queue_none(stack: Fornada, tmp_path: Path) -> None:
    before = stack("ls", "-q").stdout
    good, bad = small(tmp_path, "good"), small(tmp_path, "bad", train="Data/None")
    for words in (("submit",), ("submit", "--dry-run"), ("run",)):
        files = [bad] if words == ("run",) else [good, bad]
        said = stack(*words, *files, code=3).stderr
        assert said.startswith(f"{bad}:3  data.train: ")
        assert "Data/None" in said
    assert stack("ls", "-q").stdout == before


def test_nothing_is_queued_when_one_spec_is_bad(stack: Fornada, tmp_path: Path) -> None:
    before = stack("ls", "-q").stdout
    good, bad = small(tmp_path, "good"), tmp_path / "bad.yaml"
    text = good.read_text()
    bad.write_text(text.replace("Flatten", "Flaten").replace("batch_size: 64", "batch_size: many"))
    worse = tmp_path / "worse.yaml"
    worse.write_text(text.replace("epochs", "epoch"))
    done = stack("submit", good, bad, worse, code=3)
    for said in (f"{bad}:", "Flaten", "Flatten", "batch_size", f"{worse}:", "epoch"):
        assert said in done.stderr
    assert done.stdout == ""
    assert stack("ls", "-q").stdout == before


def test_dry_run_queues_nothing(stack: Fornada, tmp_path: Path) -> None:
    before = stack("ls", "-q").stdout
    done = stack("submit", "--dry-run", small(tmp_path, "dry"))
    assert done.stdout == "would queue dry in default, priority 0\n"
    waits = stack(
        *("submit", "--dry-run", small(tmp_path, "dry"), "--hold"),
        *("--after", stack("ls", "-q", "--limit", "1").stdout.strip()),
    )
    assert re.fullmatch(r"would queue dry in default, priority 0, held, after \d+\n", waits.stdout)
    assert stack("ls", "-q").stdout == before


def test_dry_run_warns_of_convolutions_on_jax(stack: Fornada, tmp_path: Path) -> None:
    words = ("submit", "--dry-run", small(tmp_path, "dry"))
    conv = tmp_path / "conv.yaml"
    text = small(tmp_path, "conv").read_text()
    conv.write_text(
        text.replace("- Flatten", "- Conv2D: {filters: 2, kernel_size: 3}\n  - Flatten")
    )
    jax = stack.with_settings(KERAS_BACKEND="jax")
    assert jax(*words).stderr == ""
    assert "KERAS_BACKEND=tensorflow" in jax(*words, conv).stderr
    assert stack(*words, conv).stderr == ""


def test_options_change_the_spec(stack: Fornada, tmp_path: Path) -> None:
    done = stack(
        *("submit", "--dry-run", "--json", small(tmp_path, "plain"), "--name", "other"),
        *("--set", "data.batch_size=128", "--queue", "gpu", "--priority", "7"),
        *("--time-limit", "2h", "--tag", "a=b"),
    )
    (document,) = done.document
    assert (document["name"], document["queue"], document["priority"]) == ("other", "gpu", 7)
    assert document["tags"] == {"a": "b"}
    assert document["spec"]["data"]["batch_size"] == 128
    assert document["spec"]["resources"]["time_limit"] == 7200


def test_a_spec_comes_through_a_pipe(stack: Fornada, tmp_path: Path) -> None:
    text = small(tmp_path, "piped").read_text()
    (document,) = stack("submit", "--dry-run", "--json", "-", stdin=text).document
    assert document["name"] == "piped"
    # No text at all: an image, say.
    done = subprocess.run(
        [PROGRAM, "check", "-"],
        env=stack.environment,
        input=b"\xff\xd8\xff",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"<stdin>" in done.stderr) == (3, True), done.stderr


def test_a_running_job_is_seen_left_and_cancelled(stack: Fornada, tmp_path: Path) -> None:
    job = stack("submit", "-q", small(tmp_path, "endless", epochs=ENDLESS)).stdout.strip()
    behind = stack("submit", "-q", small(tmp_path, "behind")).stdout.strip()
    stack.wait_for_epoch(job, 2)
    # Seen by ps, as rows and as a document.
    running, waiting = stack("ps").stdout.splitlines()
    cells = running.split("\t")
    assert cells[:6] == [job, "endless", "running", "0", "default", "cpu:0"]
    assert cells[6].endswith(f"/{ENDLESS}")
    assert waiting.split("\t")[:3] == [behind, "behind", "queued"]
    assert waiting.split("\t")[10] == "SlotsBusy"
    assert [row["id"] for row in stack("ps", "--json").document] == [int(job), int(behind)]
    worker = stack("worker", "ls").stdout.strip().split("\t")
    assert worker[2] == "busy"
    # When it was last heard of: at its last beat, of one every ten seconds.
    assert re.fullmatch(r"[1-3]?\d\.\d s ago", worker[6]), worker
    # Epochs and the best are live.
    document = stack.show(job)
    assert document["epochs_run"] >= 2
    assert Path(document["best"]["path"]).exists()
    # Watching it ends by a clock, and by Ctrl-C, and does it no harm.
    assert "it continues" in stack("wait", job, "--timeout", "1s", code=124).stderr
    watching = stack.start("wait", job)
    assert watching.stderr is not None
    assert watching.stderr.readline().startswith(f"job {job}: ")
    ended = end(watching, signal.SIGINT)
    assert (ended.code, ended.stdout) == (130, "")
    assert f"fornada wait {job}" in ended.stderr
    assert stack.show(job)["state"] == "running"
    # Its log is followed to its end.
    log = stack.start("logs", "-f", job)
    assert stack("cancel", job, "--reason", "enough").stdout == f"job {job}: asked to stop\n"
    assert stack("wait", "-q", job, code=11).stdout == ""
    logged, _ = log.communicate(timeout=PATIENCE_S)
    assert "epoch 2/" in logged
    assert log.returncode == 0
    assert "enough" in json.dumps(stack.show(job))
    # The next one takes its place, and what has ended cannot be cancelled.
    stack("wait", "-q", behind)
    assert f"job {behind} has ended as succeeded" in stack("cancel", behind, code=5).stderr


def test_a_time_limit_ends_a_job(stack: Fornada, tmp_path: Path) -> None:
    file = small(tmp_path, "limited", epochs=ENDLESS)
    file.write_text(file.read_text().replace("resources: {", "resources: {time_limit: 3s, "))
    done = stack("submit", "--wait", "-q", file, code=12)
    assert done.stdout.strip().isdigit()
    assert "epoch" not in done.stderr
    assert "TIME_LIMIT" in stack("show", "@last").stdout


def test_history_is_filtered_sorted_and_paged(stack: Fornada, tmp_path: Path) -> None:
    file = small(tmp_path, "historic")
    trained = stack("submit", "-q", file, "--tag", "owner=eva").stdout.strip()
    stack("wait", "-q", trained)
    assert stack("ls", "-q", "--tag", "owner=eva").stdout == f"{trained}\n"
    assert stack("ls", "-q", "--name", "histor*", "--since", "1d").stdout == f"{trained}\n"
    failed = stack("ls", "--json", "--state", "failed").document["jobs"]
    assert {row["state"] for row in failed} <= {"failed"}
    ids = stack("ls", "-q").stdout.split()
    assert ids == sorted(ids, key=int, reverse=True)
    paged: list[str] = []
    after: list[str] = []
    while True:
        page = stack("ls", "--json", "--limit", "5", *after).document
        paged += [str(row["id"]) for row in page["jobs"]]
        if page["next"] is None:
            break
        after = ["--cursor", page["next"]]
    assert paged == ids
    by_loss = stack("ls", "--json", "--sort", "metric:val_loss", "--ascending").document["jobs"]
    losses = [row["metrics"]["val_loss"]["min"] for row in by_loss if "val_loss" in row["metrics"]]
    assert losses == sorted(losses)
    # What sorts is shown, and a misspelt name is told.
    by_loss = stack("ls", "--sort", "metric:val_loss", "--name", "historic")
    loss = stack.show(trained)["metrics"]["val_loss"]["min"]
    assert by_loss.stdout.split("\t")[4] == f"{loss:.4g}"
    misspelt = stack("ls", "--sort", "metric:val_los")
    assert 'none of these jobs has a metric "val_los"' in misspelt.stderr


def test_a_second_stack_in_one_home_is_refused(stack: Fornada) -> None:
    done = stack("up", code=5)
    assert f"a stack already runs in {stack.home} (process " in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("show", "999999"), 4, "no job 999999"),
        (("wait", "zzzz"), 4, "no job zzzz"),
        (("cancel", "900000-900009"), 4, "no job 900000-900009"),
        (("logs", "999999"), 4, "no job 999999"),
        (("ls", "--cursor", "nonsense"), 2, "nonsense"),
        (("ls", "--sort", "beauty"), 2, "metric:NAME"),
        (("ls", "--sort", "metric:"), 2, "metric:NAME"),
        (("ls", "--since", "someday"), 2, "2026-03-01"),
        (("ls", "--since", "99999999w"), 2, "2026-03-01"),
        (("submit", "--not-before", "+99999999w", "specs/digits.yaml"), 2, "at most 1040w"),
        (("move", "1", "--priority", "101"), 2, "-100<=x<=100"),
        (("submit", "--set", "tags.color=#ff0000", "specs/digits.yaml"), 3, "# begins a comment"),
        (("submit", "--dry-run", "--after", "999999", "specs/digits.yaml"), 4, "no job 999999"),
        (("submit", "--dry-run", "--needed", "specs/digits.yaml"), 2, "--needed"),
        (("submit", "--tag", "nothing", "specs/digits.yaml"), 2, "--tag owner=ana"),
        (("submit", "--set", "nothing", "specs/digits.yaml"), 2, "--set data.batch_size=128"),
        (("submit", "none.yaml"), 3, "none.yaml"),
        (("frobnicate",), 2, "No such command"),
        (("submitt",), 2, 'Did you mean "submit"?'),
        (("submit", "--key", "", "specs/digits.yaml"), 2, "--key nightly-7"),
        (("worker", "drain", "oven-1", "--timeout", "3"), 2, "--wait"),
    ],
)
def test_mistakes_are_told_with_their_codes(
    stack: Fornada, words: tuple[str, ...], code: int, said: str
) -> None:
    done = stack(*words, code=code)
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_redis_hung_at_submit_is_a_warning_in_time(stack: Fornada, tmp_path: Path) -> None:
    redis = stack.pid("redis-server")
    file = small(tmp_path, "unheard")
    os.kill(redis, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        done = stack("submit", "-q", file)
        assert time.monotonic() - begin < 10
    finally:
        os.kill(redis, signal.SIGCONT)
    assert "did not answer" in done.stderr
    assert "accepted" in done.stderr
    # Upkeep tells a worker, once Redis is back.
    stack("wait", "-q", done.stdout.strip())
    assert stack.show(done.stdout.strip())["attempts"] == 1
