"""Ends that nobody planned: nothing is left behind, nothing is forgotten."""

import os
import signal
from pathlib import Path

from fornada.db.answers import JobAnswer
from tests.acceptance.installed import PATIENCE_S, Fornada, end
from tests.acceptance.specs import ENDLESS, small
from tests.until import until

# Seconds after a SIGKILL within which every child is gone.
GONE_S = 5.0


def test_a_killed_stack_leaves_nothing_and_its_job_goes_on_in_the_next(
    fornada: Fornada, tmp_path: Path
) -> None:
    # A lease that runs out within the test's patience.
    quick = fornada.with_settings(
        FORNADA_LEASE_S="4",
        FORNADA_HEARTBEAT_S="1",
        FORNADA_UPKEEP_S="1",
        FORNADA_RETRY_PAUSE_S="0.5",
        # Every epoch has its state, however busy the machine.
        FORNADA_STATE_SHARE="1",
    )
    first = quick.up()
    job = quick("submit", "-q", small(tmp_path, epochs=ENDLESS)).stdout.strip()
    quick.wait_for_epoch(job, 1)
    parts = quick.processes()
    assert len(parts) >= 4, parts
    end(first, signal.SIGKILL)
    until(lambda: not quick.processes(), GONE_S, saw=quick.processes)
    # The stale socket and lock are in nobody's way; the job was not forgotten.
    second = quick.up()
    quick.wait_for(job, _goes_on)
    document = quick.show(job)
    assert document["state"] == "running"
    lost, resumed = document["executions"]
    assert (lost["outcome"], lost["failure"]["code"]) == ("lost", "WORKER_LOST")
    assert resumed["resumed"]["epoch"] > 1
    quick.wait_for_epoch(job, document["epochs_run"] + 1)
    quick("cancel", job)
    quick("wait", "-q", job, code=11)
    assert end(second, signal.SIGTERM).code == 0


def _goes_on(job: JobAnswer) -> bool:
    """Whether its second attempt trains."""
    return len(job["executions"]) == 2 and job["executions"][1]["started_at"] is not None


def test_a_stack_keeps_its_password_and_ends_when_a_part_dies(fornada: Fornada) -> None:
    stack = fornada.up()
    password = (fornada.home / "redis.password").read_text()
    assert not [line for line in fornada.processes().values() if password in line]
    for file in fornada.home.rglob("*"):
        if file.is_file() and password.encode() in file.read_bytes():
            assert file.name == "redis.password"
            assert file.stat().st_mode & 0o077 == 0
    os.kill(fornada.pid("redis-server"), signal.SIGKILL)
    _, said = stack.communicate(timeout=PATIENCE_S)
    assert stack.returncode == 1
    assert "the redis of the embedded stack ended" in said
    assert str(fornada.home / "logs" / "redis.log") in said


def test_a_stack_whose_worker_is_drained_ends_in_order(fornada: Fornada) -> None:
    stack = fornada.up()
    (worker,) = fornada("worker", "ls", "-q").stdout.split()
    fornada("worker", "drain", worker, "--wait")
    _, said = stack.communicate(timeout=PATIENCE_S)
    assert stack.returncode == 0
    assert "The worker was drained" in said
    assert not fornada.processes()


def test_a_run_goes_on_with_a_stack_of_its_own_when_the_one_it_used_ends(
    fornada: Fornada, tmp_path: Path
) -> None:
    stack = fornada.up()
    running = fornada.start("run", "-q", small(tmp_path, epochs=ENDLESS))
    assert running.stdout is not None
    assert running.stdout.readline() == "1\n"
    fornada.wait_for_epoch(1, 1)
    assert end(stack, signal.SIGTERM).code == 0
    # Preempted, and taken again by a worker that the run has started.
    fornada.wait_for(1, lambda job: job["attempts"] == 2 and job["state"] == "running")
    fornada("cancel", 1)
    running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 11
