"""What a supervisor makes of a trainer's end: exits, memory, reported files, secrets."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fornada.db.states import AttemptOutcome, FailureCode, StopReason
from fornada.settings import Settings
from fornada.worker.attempts.verdict import Ending, not_begun, verdict
from fornada.worker.messages import Best, Failed, FileRecord, Finished, Stopped, WhyStop
from fornada.worker.slots import exit_status
from fornada.worker.slots.environment import scrubbed
from fornada.worker.slots.exit_status import ExitStatus, OomCounter

KILLED = ExitStatus(-signal.SIGKILL, out_of_memory=False)
CLEAN = ExitStatus(0, out_of_memory=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home of the test's own."""
    return Settings(home=tmp_path)


@pytest.fixture
def ending(settings: Settings) -> Ending:
    """An attempt that left a log and a best model."""
    folder = settings.artifacts_folder / "uid" / "attempt-1"
    folder.mkdir(parents=True)
    (folder / "train.log").write_text("epoch 1\nepoch 2\n\n")
    (folder / "best.keras").write_bytes(b"model")
    return Ending(folder, time_limit_s=60.0, epoch=2, exit=CLEAN)


def test_a_kill_for_memory_is_told_from_any_other(ending: Ending, settings: Settings) -> None:
    ending.exit = ExitStatus(-signal.SIGKILL, out_of_memory=True)
    memory = verdict(ending, settings)
    ending.exit = KILLED
    other = verdict(ending, settings)

    assert memory.failure is not None
    assert other.failure is not None
    assert memory.failure.code is FailureCode.HOST_OOM
    assert other.failure.code is FailureCode.CRASHED
    assert "SIGKILL" in other.failure.message
    assert "after epoch 2" in other.failure.message
    assert other.failure.traceback == "epoch 1\nepoch 2"
    assert other.exit_status == -9


@pytest.mark.parametrize(
    ("most", "outcome", "code"),
    [
        (None, AttemptOutcome.CRASHED, FailureCode.HOST_OOM),
        (2**30, AttemptOutcome.FAILED, FailureCode.RESOURCE_LIMIT),
    ],
)
def test_native_code_that_dies_of_an_allocation_says_so(
    ending: Ending,
    settings: Settings,
    most: int | None,
    outcome: AttemptOutcome,
    code: FailureCode,
) -> None:
    ending.memory_bytes = most
    ending.exit = _native(ending, "_Znwm(ctypes.c_size_t(2**62))")

    found = verdict(ending, settings)

    assert found.failure is not None
    assert (found.outcome, found.failure.code) == (outcome, code)
    assert ("FORNADA_MAX_MEMORY_BYTES" in found.failure.message) == (most is not None)
    assert "std::bad_alloc" in found.failure.traceback
    assert found.exit_status == -signal.SIGABRT


def test_any_other_abort_is_a_crash(ending: Ending, settings: Settings) -> None:
    ending.memory_bytes = 2**30
    ending.exit = _native(ending, "abort()")

    found = verdict(ending, settings)

    assert found.failure is not None
    assert (found.outcome, found.failure.code) == (AttemptOutcome.CRASHED, FailureCode.CRASHED)
    assert "SIGABRT" in found.failure.message


def _native(ending: Ending, call: str) -> ExitStatus:
    """The end of a process that calls a function of C++, and logs where a trainer would."""
    code = f"import ctypes; ctypes.CDLL('libstdc++.so.6').{call}"
    with (ending.folder / "train.log").open("ab") as log:
        done = subprocess.run([sys.executable, "-c", code], stderr=log, check=False)
    return ExitStatus(done.returncode, out_of_memory=False)


def test_a_clean_exit_without_a_word_is_a_crash(ending: Ending, settings: Settings) -> None:
    found = verdict(ending, settings)

    assert found.outcome is AttemptOutcome.CRASHED
    assert found.failure is not None
    assert "exit status 0" in found.failure.message


def test_a_success_records_files_and_the_whole_log(ending: Ending, settings: Settings) -> None:
    ending.last_message = _finished(ending)

    found = verdict(ending, settings)

    assert found.outcome is AttemptOutcome.SUCCEEDED
    assert found.best is not None
    assert found.best.uri == "artifacts:uid/attempt-1/best.keras"
    kinds = {row.kind: row.bytes for row in found.artifacts}
    assert kinds == {"best_model": 5, "log": len("epoch 1\nepoch 2\n\n")}


def test_a_log_that_grew_after_the_last_word_is_no_failure(
    ending: Ending, settings: Settings
) -> None:
    log = FileRecord(kind="log", path=ending.folder / "train.log", bytes=3, sha256="0" * 64)
    finished = _finished(ending)
    ending.last_message = finished.model_copy(update={"files": [*finished.files, log]})

    assert verdict(ending, settings).outcome is AttemptOutcome.SUCCEEDED


def test_a_crash_records_the_best_model_and_the_log(ending: Ending, settings: Settings) -> None:
    ending.best, ending.exit = _best(ending), KILLED

    found = verdict(ending, settings)

    assert found.best is not None
    assert {row.kind for row in found.artifacts} == {"best_model", "log"}


def test_a_model_that_replaced_the_best_unreported_is_not_called_the_best(
    ending: Ending, settings: Settings
) -> None:
    ending.best, ending.exit = _best(ending), KILLED
    (ending.folder / "best.keras").write_bytes(b"newer")

    assert verdict(ending, settings).best is None


def test_a_best_model_that_was_replaced_unreported_comes_back(
    ending: Ending, settings: Settings
) -> None:
    lasting, best = ending.folder / "best-2.keras", ending.folder / "best.keras"
    lasting.write_bytes(b"model")
    newer = ending.folder / "best-3.keras"
    newer.write_bytes(b"newer")
    # As the trainer left it, which had two names for each.
    best.unlink()
    best.hardlink_to(newer)
    ending.best, ending.exit = _best(ending, lasting), KILLED

    found = verdict(ending, settings)

    assert found.best is not None
    assert found.best.uri == "artifacts:uid/attempt-1/best.keras"
    assert found.best.sha256 == hashlib.sha256(b"model").hexdigest()
    assert best.read_bytes() == b"model"
    assert newer.read_bytes() == b"newer"
    names = {"best.keras", "best-2.keras", "best-3.keras", "train.log"}
    assert {file.name for file in ending.folder.iterdir()} == names


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda best: best.unlink(), "does not exist"),
        (lambda best: best.write_bytes(b"mod"), "has 3 bytes; 5 were reported"),
        (lambda best: best.write_bytes(b"newer"), "sha256 that differs"),
    ],
)
def test_a_best_model_that_differs_is_no_success(
    ending: Ending, settings: Settings, spoil: object, says: str
) -> None:
    ending.last_message = _finished(ending)
    assert callable(spoil)
    spoil(ending.folder / "best.keras")

    found = verdict(ending, settings)

    assert found.failure is not None
    assert found.failure.code is FailureCode.ARTIFACT_WRITE
    assert says in found.failure.message
    assert found.best is None


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, FailureCode.DISK_FULL),
        (errno.EDQUOT, FailureCode.DISK_FULL),
        (errno.EACCES, FailureCode.ARTIFACT_WRITE),
        (errno.EAGAIN, FailureCode.HOST_OOM),
    ],
)
def test_an_attempt_that_cannot_begin_says_what_was_short(number: int, code: FailureCode) -> None:
    found = not_begun(OSError(number, os.strerror(number)))

    assert found.outcome is AttemptOutcome.FAILED
    assert found.failure is not None
    assert found.failure.code is code
    assert os.strerror(number) in found.failure.message


def test_a_file_outside_of_the_attempt_is_no_success(ending: Ending, settings: Settings) -> None:
    elsewhere = settings.home / "best.keras"
    elsewhere.write_bytes(b"model")
    ending.last_message = _finished(ending, elsewhere)

    found = verdict(ending, settings)

    assert found.failure is not None
    assert "lies outside" in found.failure.message


@pytest.mark.parametrize(
    ("why", "outcome", "reason"),
    [
        (WhyStop.CANCEL, AttemptOutcome.CANCELLED, StopReason.CANCELLED),
        (WhyStop.DRAIN, AttemptOutcome.PREEMPTED, None),
        (WhyStop.TIME_LIMIT, AttemptOutcome.TIMED_OUT, StopReason.TIME_LIMIT),
    ],
)
@pytest.mark.parametrize("killed", [False, True])
def test_who_was_asked_to_stop_ends_so_even_when_it_had_to_be_killed(
    ending: Ending,
    settings: Settings,
    why: WhyStop,
    outcome: AttemptOutcome,
    reason: StopReason | None,
    *,
    killed: bool,
) -> None:
    ending.asked, ending.best = why, _best(ending)
    ending.exit = KILLED if killed else CLEAN
    ending.last_message = None if killed else Stopped(reason=why, best=_best(ending), files=[])

    found = verdict(ending, settings)

    assert (found.outcome, found.stop_reason) == (outcome, reason)
    assert found.best is not None


def test_a_fault_of_the_spec_outlives_a_drain_but_not_a_cancel(
    ending: Ending, settings: Settings
) -> None:
    ending.last_message = Failed(code=FailureCode.MODEL_INVALID, message="shapes", traceback="")
    ending.asked = WhyStop.DRAIN
    drained = verdict(ending, settings)
    ending.asked = WhyStop.CANCEL
    cancelled = verdict(ending, settings)

    assert drained.outcome is AttemptOutcome.FAILED
    assert cancelled.outcome is AttemptOutcome.CANCELLED


def test_the_kernels_count_is_read_where_the_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tmp_path / "cgroup" / "slice" / "memory.events"
    process = tmp_path / "proc" / "7" / "cgroup"
    for file in (events, process):
        file.parent.mkdir(parents=True)
    process.write_text("0::/slice\n")
    events.write_text("low 0\noom 1\noom_kill 1\n")
    monkeypatch.setattr(exit_status, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(exit_status, "PROC", tmp_path / "proc")

    counter = OomCounter.of(7)

    assert counter is not None
    assert not counter.rose()
    events.write_text("low 0\noom 2\noom_kill 2\n")
    assert counter.rose()


def test_credentials_are_dropped_by_name_and_by_value() -> None:
    environment = {
        "FORNADA_DATABASE_URL": "postgresql://u:s%2Fcret@h/d",
        "FORNADA_BROKER_URL": "redis://:pw4567@h",
        "FORNADA_HOME": "/home",
        "FORNADA_MAX_PARAMETERS": "10",
        "PGPASSWORD": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "COPY_OF_IT": "redis-cli -a pw4567",
        "DECODED": "s/cret",
        "LD_LIBRARY_PATH": "/usr/lib",
        "KERAS_BACKEND": "jax",
    }
    urls = (environment["FORNADA_DATABASE_URL"], environment["FORNADA_BROKER_URL"])

    assert scrubbed(environment, urls).keys() == {
        "FORNADA_HOME",
        "FORNADA_MAX_PARAMETERS",
        "LD_LIBRARY_PATH",
        "KERAS_BACKEND",
    }


@pytest.mark.parametrize(
    "url", ["postgresql://u:a@h/d", "postgresql://u@h/d?password=a", "redis+socket://:a@/r.sock"]
)
def test_a_short_password_drops_no_ordinary_word(url: str) -> None:
    ordinary = {"PATH": "/usr/games:/sbin", "LANG": "C", "HOME": "/home/ana"}
    holding = {"COPY": "a", "OTHER": "postgresql://b:a@h/d", "OPTIONS": "host=h password=a"}

    assert scrubbed(ordinary | holding, [url]) == ordinary


def _finished(ending: Ending, path: Path | None = None) -> Finished:
    best = _best(ending, path)
    reason = StopReason.COMPLETED
    return Finished(stop_reason=reason, best=best, test=None, files=[best.file])


def _best(ending: Ending, path: Path | None = None) -> Best:
    file = path or ending.folder / "best.keras"
    sha256 = hashlib.sha256(b"model").hexdigest()
    record = FileRecord(kind="best_model", path=file, bytes=5, sha256=sha256)
    return Best(epoch=2, monitor="loss", value=0.5, file=record)
