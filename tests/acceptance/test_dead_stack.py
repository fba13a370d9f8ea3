"""An embedded stack that was killed: what is said of its jobs, and how soon the next takes them.

With the usual lease of a minute: nothing here waits for it.
"""

import signal
import time
from pathlib import Path

from tests.acceptance.installed import PATIENCE_S, Fornada, end
from tests.acceptance.specs import ENDLESS, small
from tests.until import until

# Seconds after a SIGKILL within which every child is gone.
GONE_S = 5.0
# Seconds for the next stack to import its modules and take a job, on a busy machine. A lease and
# the pause after a lost attempt take 70 s.
TAKEN_S = 40.0


def test_a_killed_stack_is_known_to_be_dead_and_the_next_takes_its_job(
    fornada: Fornada, tmp_path: Path
) -> None:
    first = fornada.up()
    job = fornada("submit", "-q", small(tmp_path, epochs=ENDLESS)).stdout.strip()
    fornada.wait_for_epoch(job, 1)
    assert fornada.show(job)["lost"] is False
    end(first, signal.SIGKILL)
    until(lambda: not fornada.processes(), GONE_S, saw=fornada.processes)

    # Every command that reads it says so, although the job's row has not changed.
    shown = fornada.show(job)
    assert (shown["state"], shown["lost"]) == ("running", True)
    (row,) = fornada("ps", "--json").document
    assert (row["state"], row["lost"], row["eta_s"]) == ("running", True, None)
    (past,) = fornada("ls", "--json").document["jobs"]
    assert (past["state"], past["lost"]) == ("running", True)
    assert fornada("ps").stdout.split("\t")[2] == "lost"
    assert fornada("ls").stdout.split("\t")[2] == "lost"
    assert "lost, resumes when a worker starts" in fornada("show", job).stdout
    waited = fornada("wait", job, "--timeout", "0s", code=124)
    assert "lost, resumes when a worker starts; start one: fornada up" in waited.stderr
    assert "waits for a worker; start one: fornada up" in waited.stderr
    assert (row["elapsed_s"], row["waits"]) == (None, "NoWorker")
    assert "lost" in fornada("logs", job).stderr.splitlines()[-1]
    refused = fornada("ls", "--state", "lost", code=2)
    assert "--state running" in refused.stderr
    (worker,) = (
        found
        for found in fornada("doctor", "--json").document["findings"]
        if found["what"] == "worker"
    )
    assert (worker["well"], f"next: {job}" in worker["found"]) == (True, True)
    # Who follows its log is told once.
    reading = fornada.start("logs", "-f", job)
    assert reading.stderr is not None
    assert "attempt 1" in reading.stderr.readline()
    said = reading.stderr.readline()
    assert ("lost" in said, "fornada up" in said) == (True, True)
    assert fornada("worker", "ls", "--json").document == []
    (queue,) = fornada("queue", "ls", "--json").document
    assert (queue["running"], queue["workers"]) == (1, 0)
    # A job behind it waits for a worker, not for a slot that is gone.
    behind = fornada("submit", "-q", small(tmp_path, "behind")).stdout.strip()
    fornada("hold", behind)
    fornada("release", behind)
    assert fornada("ps", "--json").document[1]["waits"] == "NoWorker"
    fornada("cancel", behind)

    begin = time.monotonic()
    second = fornada.up()
    fornada.wait_for(job, lambda document: document["attempts"] == 2)
    assert time.monotonic() - begin < TAKEN_S
    document = fornada.show(job)
    assert document["lost"] is False
    lost = document["executions"][0]
    assert (lost["outcome"], lost["failure"]["code"]) == ("lost", "WORKER_LOST")
    assert [row["state"] for row in fornada("worker", "ls", "--json").document] == ["busy"]
    fornada("cancel", job)
    fornada("wait", "-q", job, code=11)
    _, told = reading.communicate(timeout=PATIENCE_S)
    assert (reading.returncode, "lost" in told, "job 1 cancelled" in told) == (0, False, True)
    assert end(second, signal.SIGTERM).code == 0


def test_a_worker_that_a_person_started_keeps_its_job_when_the_stack_is_killed(
    fornada: Fornada, tmp_path: Path
) -> None:
    first = fornada.up("--slots", "cpu")
    by_hand = fornada.start("worker", "start", "--slots", "cpu", "--queues", "own", "--name", "own")
    job = fornada("submit", "-q", "--wait-for-worker", small(tmp_path, queue="own", epochs=ENDLESS))
    own = job.stdout.strip()
    fornada.wait_for_epoch(own, 1)
    end(first, signal.SIGKILL)

    second = fornada.up("--slots", "cpu", "--queues", "default,own")
    # The new worker has looked at what was left, and then taken a job.
    other = fornada("submit", "-q", small(tmp_path, "other", epochs=1)).stdout.strip()
    fornada("wait", "-q", other)
    document = fornada.show(own)
    assert (document["state"], document["attempts"], document["lost"]) == ("running", 1, False)
    assert document["worker"]["name"] == "own"
    fornada.wait_for_epoch(own, document["epochs_run"] + 1)
    fornada("cancel", own)
    fornada("wait", "-q", own, code=11)
    for process in (by_hand, second):
        assert end(process, signal.SIGTERM).code == 0


def test_the_file_of_another_worker_says_nothing_of_a_living_one(fornada: Fornada) -> None:
    """A file that nobody locks: a copy, as in a copied home, or that of an earlier namesake."""
    stack = fornada.up()
    (row,) = fornada("worker", "ls", "--json").document
    left = fornada.home / "workers" / row["name"]
    written = left.read_bytes()
    copy = fornada.home / "workers" / "copy"
    copy.write_bytes(written)
    copy.rename(left)
    assert [one["name"] for one in fornada("worker", "ls", "--json").document] == [row["name"]]
    left.write_bytes(written.replace(str(row["pid"]).encode(), b"1"))
    assert [one["name"] for one in fornada("worker", "ls", "--json").document] == [row["name"]]
    assert end(stack, signal.SIGTERM).code == 0


def test_a_stack_whose_home_is_gone_ends_and_says_so(fornada: Fornada, tmp_path: Path) -> None:
    stack = fornada.up()
    fornada.home.rename(tmp_path / "away")
    _, said = stack.communicate(timeout=PATIENCE_S)
    assert stack.returncode == 1
    assert f"the home {fornada.home} of the embedded stack is gone" in said
    assert "Traceback" not in said
    until(lambda: not fornada.processes(), GONE_S, saw=fornada.processes)
