"""The embedded stack as a service: detached, stopped from elsewhere, under nohup."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.installed import PATIENCE_S, PROGRAM, REPOSITORY, Fornada, end
from tests.acceptance.specs import ENDLESS, small
from tests.until import until


def test_a_detached_stack_has_no_terminal_and_ends_by_down(
    fornada: Fornada, tmp_path: Path
) -> None:
    # Returns although the stack runs on: it holds none of this command's streams.
    said = fornada("up", "--detach", "--slots", "1").stderr
    stack = fornada.pid("fornada up")
    assert f"process {stack}" in said
    assert str(fornada.home / "logs") in said
    assert os.getsid(stack) == stack
    assert [(Path(f"/proc/{stack}/fd") / str(fd)).readlink() for fd in range(3)] == [
        Path("/dev/null"),
        fornada.home / "logs" / "up.log",
        fornada.home / "logs" / "up.log",
    ]
    assert [row["name"] for row in fornada("worker", "ls", "--json").document]
    # A second one is refused, with the reason and the code of the stack itself.
    assert str(stack) in fornada("up", "--detach", code=5).stderr

    job = fornada("submit", "-q", small(tmp_path, epochs=ENDLESS)).stdout.strip()
    fornada.wait_for_epoch(job, 1)
    assert fornada("down").stdout == ""
    assert fornada.processes() == {}
    document = fornada.show(job)
    assert (document["state"], document["executions"][0]["outcome"]) == ("queued", "preempted")
    assert fornada("down", code=5).stderr


def test_a_detached_stack_that_cannot_start_says_why(fornada: Fornada) -> None:
    # A folder where the stack writes a log.
    (fornada.home / "logs" / "redis.log").mkdir(parents=True)
    done = fornada("up", "--detach", code=1)
    assert "redis.log" in done.stderr
    assert fornada.processes() == {}


def test_down_stops_a_stack_in_another_terminal_and_waits_for_its_jobs(
    fornada: Fornada, tmp_path: Path
) -> None:
    stack = fornada.up()
    job = fornada("submit", "-q", small(tmp_path, epochs=ENDLESS)).stdout.strip()
    fornada.wait_for_epoch(job, 1)
    fornada("down", "--timeout", "0s", code=124)
    # What a second `down` sends does not interrupt the drain.
    stack.send_signal(signal.SIGTERM)
    assert stack.wait(PATIENCE_S) == 0
    assert fornada.processes() == {}
    document = fornada.show(job)
    assert (document["state"], document["executions"][0]["outcome"]) == ("queued", "preempted")


def test_down_leaves_what_is_no_stack_of_this_home(fornada: Fornada, tmp_path: Path) -> None:
    server = fornada.with_settings(
        FORNADA_DATABASE_URL=f"sqlite:///{tmp_path}/server.db",
        FORNADA_BROKER_URL="redis://127.0.0.1:1/0",
        FORNADA_DATA_ROOT="/",
    )
    server("down", code=2)
    # A `run` ends its own stack, and SIGTERM would cancel its job.
    running = fornada.start("run", "-q", small(tmp_path, epochs=ENDLESS))
    assert running.stdout is not None
    assert running.stdout.readline() == "1\n"
    fornada.wait_for_epoch(1, 1)
    assert str(running.pid) in fornada("down", code=5).stderr
    assert fornada.show(1)["state"] == "running"
    assert end(running, signal.SIGTERM).code == 130


def test_down_ends_no_process_that_only_has_the_id_in_the_lock(fornada: Fornada) -> None:
    stack = fornada.up()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        lock = fornada.home / "stack.lock"
        written = lock.read_bytes()
        lock.write_bytes(json.dumps({"pid": other.pid, "command": "up"}).encode())
        fornada("down", code=1)
        assert other.poll() is None
        assert stack.poll() is None
        lock.write_bytes(written)
        other.communicate(b"\n")
    fornada("down")
    assert stack.wait(PATIENCE_S) == 0


def test_a_terminal_that_closes_drains_a_stack_in_it(fornada: Fornada, tmp_path: Path) -> None:
    stack = fornada.up()
    job = fornada("submit", "-q", small(tmp_path, epochs=ENDLESS)).stdout.strip()
    fornada.wait_for_epoch(job, 1)
    # From the shell, and from the kernel when the shell has ended.
    stack.send_signal(signal.SIGHUP)
    assert stack.stderr is not None
    until(lambda: "Stopping" in stack.stderr.readline(), PATIENCE_S)
    stack.send_signal(signal.SIGHUP)
    assert stack.wait(PATIENCE_S) == 0
    assert fornada.show(job)["executions"][0]["outcome"] == "preempted"
    # A worker that is killed leaves its file.
    assert list((fornada.home / "workers").iterdir()) == []


@pytest.mark.parametrize("words", [("up",), ("worker", "start", "--slots", "cpu")])
def test_a_command_under_nohup_outlives_its_terminal(
    fornada: Fornada, words: tuple[str, ...], tmp_path: Path
) -> None:
    stack = fornada.up("--slots", "cpu") if words[0] == "worker" else None
    nohup = shutil.which("nohup")
    assert nohup is not None
    started = subprocess.Popen(
        [nohup, PROGRAM, *words, "--queues", "own"],
        cwd=REPOSITORY,
        env=fornada.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    fornada.started.append(started)
    wanted = 2 if stack else 1
    until(lambda: len(fornada("worker", "ls", "-q").stdout.split()) == wanted, PATIENCE_S)
    started.send_signal(signal.SIGHUP)
    # A worker that drains would not take it.
    fornada("submit", "-q", "--wait", small(tmp_path, epochs=1, queue="own"))
    assert started.poll() is None
    assert end(started, signal.SIGTERM).code == 0
    if stack:
        assert end(stack, signal.SIGTERM).code == 0
