"""Steering the queue by the command, as people do it, on a server with a worker."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fornada.db.queue import queues, steering
from fornada.db.reads import live
from tests.acceptance.fleet import Fleet
from tests.acceptance.specs import small


@pytest.fixture(autouse=True)
def _open(fleet: Fleet) -> Iterator[None]:
    """Every test finds the queues open, and no job that another has left."""
    yield
    for name in ("default", "night"):
        queues.resume(fleet.site.database, name, "test")
        queues.set_max_running(fleet.site.database, name, None, "test")
    for row in live.alive(fleet.site.database):
        steering.cancel(fleet.site.database, row["id"], "test", grace_s=0.0)


def started(fleet: Fleet, *jobs: int) -> list[int]:
    """The jobs in the order in which they were started."""
    return sorted(jobs, key=lambda job: str(fleet.ended(job)["started_at"]))


def test_a_queue_is_paused_steered_and_resumed(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    assert "paused" in fornada("queue", "pause", "default").stdout
    # One at a time, so that the order is to be seen.
    said = fornada("queue", "set", "default", "--max-running", 1).stdout
    assert said == "queue default: paused, at most 1 at a time; 0 running, 0 queued\n"
    one, two, three, four, five = (fleet.submit(tmp_path, f"steered{n}") for n in range(5))
    assert fleet.waits(one) == "QueuePaused"
    assert fornada("hold", two).stdout == f"job {two}: held\n"
    assert fleet.waits(two).startswith("Held(by ")
    assert fornada("move", four, "--top").stdout == f"job {four}: moved\n"
    assert fornada("move", five, "--priority", -3, "--json").document == [
        {"id": five, "state": "queued"}
    ]
    assert fornada("release", two, "-q").stdout == f"{two}\n"
    (row,) = (row for row in fornada("queue", "ls", "--json").document if row["name"] == "default")
    assert (row["paused"], row["max_running"], row["queued"], row["held"]) == (True, 1, 5, 0)
    assert fornada("queue", "ls").stdout.splitlines()[0].split("\t")[:2] == ["default", "paused"]
    assert {fleet.site.state(job) for job in (one, two, three, four, five)} == {"queued"}
    said = fornada("queue", "resume", "default").stdout
    assert said.startswith("queue default: open, at most 1 at a time; ")
    assert started(fleet, one, two, three, four, five) == [four, one, two, three, five]
    said = fornada("queue", "set", "default", "--max-running", "none").stdout
    assert said.startswith("queue default: open; ")


def test_what_is_done_already_is_no_error_and_what_cannot_be_is_5(
    fleet: Fleet, tmp_path: Path
) -> None:
    fornada = fleet.fornada
    job = fleet.submit(tmp_path, "idle", "--queue", "night", "--hold")
    fornada("queue", "pause", "night")
    for _ in range(2):
        assert fornada("hold", job).stdout == f"job {job}: held\n"
    assert "fornada release" in fornada("show", job).stdout
    for _ in range(2):
        assert fornada("release", job).stdout == f"job {job}: queued\n"
    fornada("queue", "resume", "night")
    fleet.ended(job)
    running = fleet.submit(tmp_path, "wait")
    fleet.runs(running)
    for words in (("hold",), ("release",), ("retry",), ("move", "--top")):
        # One that cannot be moved keeps no other from being told.
        said = fornada(words[0], job, running, *words[1:], code=5).stderr
        assert f"job {job} has ended as succeeded" in said
        assert f"job {running} is running" in said
    said = fornada("retry", job, code=5).stderr
    assert f"fornada extend {job} --epochs +N" in said
    assert f"fornada clone {job}" in said
    assert f"job {job} has ended" in fornada("cancel", job, code=5).stderr
    assert fornada("cancel", running, "--force").stdout == f"job {running}: asked to stop\n"
    fleet.ended(running)
    assert fornada("cancel", running).stdout == f"job {running}: cancelled\n"


def test_a_retry_goes_on_and_a_fresh_one_does_not(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    job = fleet.submit(tmp_path, "wait")
    fleet.runs(job, 3)
    fornada("cancel", job, "--grace", "5s", "--reason", "later")
    before = fleet.ended(job)["epochs_run"]
    assert fornada("retry", job).stdout == f"job {job}: queued\n"
    document = fleet.runs(job, before + 1)
    assert document["executions"][1]["resumed"]["epoch"] == before + 1
    shown = fornada("show", job).stdout
    assert f"continues at epoch {before + 1}" in shown
    fornada("cancel", job)
    fleet.ended(job)
    fornada("retry", job, "--fresh")
    fleet.until(job, lambda document: document["attempts"] == 3 and document["epochs_run"] > 0)
    fornada("cancel", job)
    assert fleet.ended(job)["executions"][2]["resumed"] is None
    # The whole timeline, in words and as a document.
    told = fornada("show", job, "--events").stdout
    for said in ("submitted", "attempt 1 claimed", "asked to stop within 5.0 s: later", "retried"):
        assert said in told
    assert "first epoch" in told
    assert "{" not in told
    events = fornada("show", job, "--events", "--json").document
    assert len(events) == len(told.splitlines())
    assert {"at", "kind", "actor", "detail"} == set(events[0])


def test_ranges_and_tags_name_many(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    jobs = [fleet.submit(tmp_path, "many", "--hold", "--tag", "set=many") for _ in range(4)]
    first, last = jobs[0], jobs[-1]
    other = fleet.submit(tmp_path, "other", "--hold")
    assert fornada("move", f"{first}-{last}", "--queue", "night", "-q").stdout.split() == [
        str(job) for job in jobs
    ]
    done = fornada("cancel", "--tag", "set=many", "--json").document
    assert done == [{"id": job, "state": "cancelled"} for job in jobs]
    assert "no waiting or running job has this tag" in fornada("cancel", "--tag", "set=many").stderr
    assert fornada("retry", "--tag", "set=many", "-q").stdout.split() == list(map(str, jobs))
    fornada("wait", "-q", f"{first}-{last}")
    # What can be is done, what cannot be is told.
    done = fornada("cancel", first, other, code=5)
    assert done.stdout == f"job {other}: cancelled\n"
    assert f"job {first} has ended as succeeded" in done.stderr


def test_dependents_follow_the_fate_of_what_they_wait_for(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    bad = fleet.submit(tmp_path, "wait")
    after = fleet.submit(tmp_path, "after", "--after", bad)
    any_end = fleet.submit(tmp_path, "any", "--after", f"{bad}", "--after-any")
    chain = fleet.submit(tmp_path, "chain", "--after", f"{after},{any_end}")
    assert fleet.waits(after) == f"After(#{bad})"
    assert f"for the end of job {bad}" in fornada("show", after).stdout
    assert fornada("release", after, chain).stdout.splitlines() == [
        f"job {after}: held, waits for the end of job {bad}",
        f"job {chain}: held, waits for the end of jobs {after}, {any_end}",
    ]
    fleet.runs(bad)
    fornada("cancel", bad)
    assert fleet.ended(bad)["state"] == "cancelled"
    assert fleet.ended(any_end)["state"] == "succeeded"
    for job, other in ((after, bad), (chain, after)):
        document = fleet.ended(job)
        assert document["state"] == "cancelled"
        assert f"job {other}" in document["cancel_reason"]
    assert fornada("wait", "-q", chain, code=11).stdout == ""
    good = fleet.submit(tmp_path, "good")
    done = fornada("submit", small(tmp_path, "then"), "--after", good)
    assert f", after {good}" in done.stderr
    assert fornada("wait", "@last", "--json").document["state"] == "succeeded"
    before = fornada("ls", "-q").stdout
    assert (
        "no job 999999"
        in fornada("submit", small(tmp_path, "never"), "--after", 999999, code=4).stderr
    )
    assert fornada("ls", "-q").stdout == before


def test_a_job_waits_for_its_hour(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    done = fornada("submit", small(tmp_path, "later"), "--not-before", "+30m")
    assert ", not before " in done.stderr
    job = int(fornada("show", "@last", "--json").document["id"])
    said = done.stderr.strip().rpartition("not before ")[2]
    # Its day is said, though it goes without saying afterwards.
    day, hour = said.removesuffix(" (today)").removesuffix(" (tomorrow)").split()
    off = datetime.fromisoformat(f"{day} {hour}") - datetime.now()
    assert timedelta(minutes=20) < off <= timedelta(minutes=30)
    hour = hour if said.endswith("(today)") else f"{day} {hour}"
    rows = [row.split("\t") for row in fornada("ps").stdout.splitlines()]
    assert [row[10] for row in rows if row[0] == str(job)] == [f"NotBefore({hour})"]
    assert f"its time, {hour}, has not come" in fornada("show", job).stdout
    fornada("cancel", job)
    soon = fleet.submit(tmp_path, "soon", "--not-before", "+1s")
    assert fleet.ended(soon)["state"] == "succeeded"


def test_a_moment_that_is_past_is_told_and_keeps_no_job(fleet: Fleet, tmp_path: Path) -> None:
    file = small(tmp_path, "late")
    done = fleet.fornada("submit", "-q", file, "--not-before", "2020-03-01T22:00")
    assert "--not-before 2020-03-01 22:00 is in the past" in done.stderr
    assert fleet.ended(int(done.stdout))["state"] == "succeeded"
    assert "past" not in fleet.fornada("submit", file, "--not-before", "+0s").stderr
    fleet.ended(int(fleet.fornada("ls", "-q", "--limit", 1).stdout))


def test_a_key_makes_one_job(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    file = small(tmp_path, "keyed")
    job = fornada("submit", "-q", file, "--key", "nightly 1").stdout
    done = fornada("submit", file, "--key", "nightly 1")
    assert "already has the key nightly 1: no job was made" in done.stderr
    again = fornada("submit", "--json", file, "--key", "nightly 1").document
    assert [(one["id"], one["known_by"]) for one in again] == [(int(job), "key")]
    assert fornada("submit", "-q", file, "--key", "nightly 2").stdout != job
    assert fornada("submit", file, file, "--key", "k", code=2).stdout == ""


def test_what_no_worker_could_ever_run_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    before = fornada("ls", "-q").stdout
    good, astray = small(tmp_path, "good"), small(tmp_path, "astray", queue="nowhere")
    done = fornada("submit", good, astray, code=14)
    assert '"astray" goes to queue nowhere, and no worker serves that queue.' in done.stderr
    assert "oven serves default, night with cpu:0, cpu:1." in done.stderr
    assert "--wait-for-worker" in done.stderr
    assert "needs a GPU" in fornada("submit", small(tmp_path, "g", gpus="1"), code=14).stderr
    assert fornada("ls", "-q").stdout == before
    done = fornada("submit", "-q", astray, "--wait-for-worker")
    job = int(done.stdout)
    assert fleet.waits(job) == "NoWorker"
    assert "no worker serves its queue yet" in fornada("show", job).stdout
    fornada("move", job, "--queue", "default")
    assert fleet.ended(job)["state"] == "succeeded"


def test_a_clone_is_a_new_job_of_the_recorded_spec(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    old = fleet.submit(tmp_path, "cloned", "--tag", "a=1")
    # The file is gone: the record is enough.
    (tmp_path / "cloned.yaml").unlink()
    new = int(fornada("clone", old, "-q", "--set", "fit.epochs=3", "--tag", "b=2").stdout)
    document = fleet.ended(new)
    assert new != old
    assert document["spec"]["fit"]["epochs"] == 3
    assert document["tags"] == {"a": "1", "b": "2"}
    assert fleet.site.show(old)["spec"]["data"] == document["spec"]["data"]
    assert "fit.epochs" in fornada("clone", old, "--set", "fit.epochs=none", code=3).stderr
    assert "2 epochs" not in fornada("clone", old, "--name", "again", "--hold").stderr
    assert fornada("show", "@last", "--json").document["state"] == "held"
    fornada("cancel", "@last")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("cancel",), 2, "--tag owner=ana"),
        (("hold", "1", "--tag", "a=b"), 2, "name jobs"),
        (("cancel", "1", "--force", "--grace", "1s"), 2, "--grace"),
        (("move", "1"), 2, "--top"),
        (("move", "1", "--top", "--priority", "3"), 2, "--priority"),
        (("move", "1", "--queue", "a b"), 2, "not a valid queue name"),
        (("hold", "999999"), 4, "no job 999999"),
        (("release", "999990-999999"), 4, "no job"),
        (("cancel", "20-4"), 2, "Write 4-20"),
        (("hold", "4-"), 2, "for example 4-20"),
        (("retry", "a-b"), 2, "for example 4-20"),
        (("wait", "1", "4-"), 2, "for example 4-20"),
        (("submit", "--after", "4-", "specs/digits.yaml"), 2, "for example 4-20"),
        (("show", "4-20"), 2, "one is expected here"),
        (("logs", "4-20"), 2, "one is expected here"),
        (("extend", "4-20", "--epochs", "+1"), 2, "one is expected here"),
        (("move", "zzzz", "--top"), 4, "no job zzzz"),
        (("retry", "999999"), 4, "no job"),
        (("clone", "999999"), 4, "no job"),
        (("extend", "999999", "--epochs", "+1"), 4, "no job"),
        (("extend", "1", "--epochs", "20"), 2, "--epochs +20"),
        (("logs", "999999"), 4, "no job"),
        (("queue", "pause", "a b"), 2, "not a valid queue name"),
        (("queue", "set", "default", "--max-running", "0"), 2, "fornada queue pause"),
        (("worker", "drain", "nobody"), 4, "fornada worker ls"),
        (("submit", "--not-before", "someday", "specs/digits.yaml"), 2, "22:00"),
        (("submit", "--after-any", "specs/digits.yaml"), 2, "--after"),
    ],
)
def test_mistakes_are_told_with_their_codes(
    fleet: Fleet, words: tuple[str, ...], code: int, said: str
) -> None:
    done = fleet.fornada(*words, code=code)
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_why_a_job_waits_is_told_while_it_is_followed(fleet: Fleet, tmp_path: Path) -> None:
    fornada = fleet.fornada
    fornada("queue", "pause", "night")
    following = fornada.start("submit", "-f", small(tmp_path, "night", queue="night"))
    assert following.stderr is not None
    assert "in queue night" in following.stderr.readline()
    assert "its queue is paused" in following.stderr.readline()
    fornada("queue", "resume", "night")
    stdout, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    assert "succeeded" in stdout
