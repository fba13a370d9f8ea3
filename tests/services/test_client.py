"""`from fornada import Client`: what a program does, on SQLite and PostgreSQL with a real Redis."""

import doctest
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fornada
import fornada.client.client
from fornada import Client
from fornada.db import migrations
from fornada.db.answers import SlotAnswer
from fornada.db.errors import (
    AmbiguousReference,
    BadReference,
    DatabaseUnreachable,
    JobNotFound,
    WrongState,
)
from fornada.db.queue import attempts, claims, verdicts, workers
from fornada.db.queue.workers import WorkerFacts
from fornada.db.reads import documents
from fornada.db.records import EpochRow, Fence, StartedFacts, Verdict
from fornada.db.states import AttemptOutcome, WorkerState
from fornada.db.store.session import Database
from fornada.errors import (
    NeverScheduled,
    NotExtendable,
    NotStarted,
    SettingsError,
    WaitTimedOut,
    WorkerNotFound,
)
from fornada.settings import Secret, Settings
from fornada.spec import SpecProblems
from fornada.spec.files import load_all
from fornada.stack import broker
from tests.servers import RedisServer

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "specs" / "digits.yaml"


@pytest.fixture
def settings(database_url: str, redis_server: RedisServer, tmp_path: Path) -> Settings:
    redis_server.client().flushall()
    return Settings(
        home=tmp_path,
        database_url=Secret(database_url),
        broker_url=Secret(redis_server.url),
        data_root=ROOT,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as one:
        yield one


def test_submit_records_the_job_and_wakes_a_worker(client: Client, settings: Settings) -> None:
    job = client.submit(
        SPEC,
        name="other",
        tags={"owner": "ana", "run": "1"},
        queue="gpu",
        priority=7,
        time_limit_s=90,
        overrides=["data.batch_size=128"],
    )
    assert job.warning is None
    document = client.show(job.id)
    assert document["uid"] == job.uid
    assert (document["name"], document["queue"], document["priority"]) == ("other", "gpu", 7)
    assert document["tags"] == {"owner": "ana", "run": "1"}
    assert document["spec"]["data"]["batch_size"] == 128
    assert document["spec"]["resources"]["time_limit"] == 90
    database = Database(settings.sql_url)
    # Recorded relative to the data root, so that every host reads it in its own; shown absolute.
    assert documents.job(database, job.id)["spec"]["data"]["train"] == "Data/Train"
    assert document["spec"]["data"]["train"] == str(ROOT / "Data" / "Train")
    fleet = migrations.schema(database).fleet
    database.dispose()
    assert broker.Publisher(broker.make_app(settings, fleet)).queue_length("gpu") == 1


def test_the_spec_of_a_document_can_be_submitted_again(client: Client) -> None:
    document = client.show(client.submit(SPEC).id)
    again = client.show(client.submit(document["spec"]).id)
    assert (again["spec"], again["spec_hash"]) == (document["spec"], document["spec_hash"])


def test_a_file_a_document_and_a_spec_are_the_same_job(client: Client) -> None:
    spec = client.load(SPEC)
    again = client.load(spec, overrides=["resources.priority=3"])
    assert again.hash == spec.hash
    assert again.resources.priority == 3
    assert again.data.train.folder == "Data/Train"
    # A document's paths are taken from where the program stands, or absolute.
    document = spec.document()
    document["data"]["train"] = str(ROOT / "Data" / "Train")
    document["data"]["test"] = str(ROOT / "Data" / "Test")
    assert client.load(document).hash == spec.hash


def test_jobs_are_queued_although_nobody_looks_at_the_answer(client: Client) -> None:
    specs = [client.load(SPEC, overrides=[f"data.seed={seed}"]) for seed in (1, 2, 3)]
    told: list[tuple[int | None, int]] = []

    jobs = client.submit_all(
        specs, accepted=lambda spec, job: told.append((spec.data.seed, job.id))
    )

    assert [client.show(job.id)["seed"] for job in jobs] == [1, 2, 3]
    assert told == [(seed, job.id) for seed, job in zip((1, 2, 3), jobs, strict=True)]
    client.submit_all(specs)
    assert len(client.jobs().rows) == 6


def test_a_bad_spec_is_refused_with_every_problem_of_every_file(
    client: Client, tmp_path: Path
) -> None:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file, layer in zip(files, ("Flaten", "Lambda"), strict=True):
        file.write_text(SPEC.read_text().replace("- Flatten", f"- {layer}"))
    with pytest.raises(SpecProblems) as refused:
        load_all(client.settings, files)
    assert {problem.file for problem in refused.value.problems} == set(map(str, files))
    with pytest.raises(SpecProblems):
        client.submit(files[0])
    assert client.jobs().rows == []


def test_what_a_spec_most_likely_does_not_mean_comes_with_its_job(client: Client) -> None:
    assert client.submit(SPEC).warnings == ()
    logits = "compile.loss={SparseCategoricalCrossentropy: {from_logits: true}}"
    job = client.submit(SPEC, overrides=[logits])
    (warning,) = job.warnings
    assert (warning.file, warning.path.split(".")[-1]) == (str(SPEC), "activation")
    assert job.warning is None


def test_redis_away_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    away = Secret(f"redis+socket://:s3cret@{tmp_path}/none.sock")
    with Client(replace(settings, broker_url=away)) as client:
        job = client.submit(SPEC)
        assert job.warning is not None
        assert "accepted" in job.warning
        assert "s3cret" not in job.warning
        assert client.show(job.id)["state"] == "queued"


def test_a_database_without_a_broker_refuses(settings: Settings) -> None:
    with Client(replace(settings, broker_url=None)) as client:
        with pytest.raises(SettingsError, match="FORNADA_BROKER_URL"):
            client.submit(SPEC)
        assert client.jobs().rows == []


def test_a_database_away_refuses(settings: Settings) -> None:
    away = Secret("postgresql://ana:s3cret@127.0.0.1:9/fornada")
    client = Client(replace(settings, database_url=away))
    with client, pytest.raises(DatabaseUnreachable) as refused:
        client.submit(SPEC)
    assert "s3cret" not in str(refused.value)


def test_jobs_are_found_by_id_uid_last_and_range(client: Client) -> None:
    one, two, three = (client.submit(SPEC) for _ in range(3))
    assert client.show(two.uid)["id"] == two.id
    assert client.show("@last")["id"] == three.id
    assert client.find([f"{one.id}-{three.id}", one.uid]) == [one.id, two.id, three.id]
    with pytest.raises(AmbiguousReference):
        client.show(one.uid[:4])
    with pytest.raises(JobNotFound):
        client.show(three.id + 1)
    with pytest.raises(BadReference, match=f"Write {one.id}-{three.id}"):
        client.find([one.id, f"{three.id}-{one.id}"])
    with pytest.raises(BadReference, match="one is expected"):
        client.cancel(f"{one.id}-{three.id}")
    assert {row["state"] for row in client.alive()} == {"queued"}


def test_waiting_ends_by_the_job_or_by_the_clock(client: Client) -> None:
    job = client.submit(SPEC)
    with pytest.raises(WaitTimedOut, match="still queued"):
        client.wait(job.id, timeout_s=0)
    assert client.cancel(job.id, reason="enough") == "cancelled"
    document = client.wait(job.id)
    assert (document["state"], document["cancel_reason"]) == ("cancelled", "enough")


def test_a_queued_job_says_why_it_waits(client: Client) -> None:
    job = client.submit(SPEC)
    progress = next(client.follow(job.id))
    assert (progress.final, progress.waits) == (False, "NoWorker")
    assert [row["id"] for row in client.alive()] == [job.id]


def test_what_has_ended_cannot_be_cancelled_into_something_else(client: Client) -> None:
    job = client.submit(SPEC)
    client.cancel(job.id)
    # Asked twice, told the same.
    assert client.cancel(job.id) == "cancelled"
    with pytest.raises(JobNotFound):
        client.cancel(job.id + 1)
    assert WrongState.code == "WRONG_STATE"


def test_pages_of_history(client: Client) -> None:
    ids = [client.submit(SPEC, name=f"job-{n}").id for n in range(5)]
    first = client.jobs(limit=3)
    rest = client.jobs(limit=3, after=first.next)
    assert [row["id"] for row in first.rows + rest.rows] == ids[::-1]
    assert rest.next is None
    assert [row["name"] for row in client.jobs(name="job-3").rows] == ["job-3"]
    assert client.jobs(since=datetime.now(UTC) + timedelta(hours=1)).rows == []


def test_a_log_that_is_not_begun(client: Client) -> None:
    job = client.submit(SPEC)
    with pytest.raises(NotStarted, match="queued and has no log"):
        list(client.log(job.id))
    client.cancel(job.id)
    with pytest.raises(NotStarted, match="cancelled and began no log"):
        list(client.log(job.id))
    assert client.metrics(job.id) == {"id": job.id, "epochs": []}


def register(client: Client, settings: Settings, *queues: str) -> None:
    """A worker with one CPU slot that serves these queues, as far as the record knows."""
    slots: list[SlotAnswer] = [{"name": "cpu:0", "gpu": False, "job": None}]
    facts = WorkerFacts("oven", "host-1", 1, slots, queues, [], {}, WorkerState.IDLE)
    database = Database(settings.sql_url)
    workers.register(database, facts)
    database.dispose()


def test_a_key_names_one_job(client: Client) -> None:
    first = client.submit(SPEC, key="nightly")
    again = client.submit(SPEC, key="nightly")
    assert (again.id, again.uid, again.known_by) == (first.id, first.uid, "key")
    assert again.warning is None
    other = client.submit(SPEC, key="nightly", overrides=["data.seed=9"])
    assert other.id == first.id
    assert "another spec" in (other.warning or "")
    assert client.submit(SPEC, key="weekly").id != first.id
    assert len(client.jobs().rows) == 2


def test_terms_are_kept_and_told(client: Client) -> None:
    first = client.submit(SPEC, held=True)
    hour = datetime.now(UTC) + timedelta(hours=1)
    late = client.submit(SPEC, not_before=hour)
    after = client.submit(SPEC, after=[first.uid])
    states = {row["id"]: (row["state"], row["waits"]) for row in client.alive()}
    assert states[first.id][0] == "held"
    assert (states[first.id][1] or "").startswith("Held(by ")
    assert (states[late.id][1] or "").startswith("NotBefore(")
    assert states[after.id] == ("held", f"After(#{first.id})")
    assert client.release(first.id) == "queued"
    assert client.release(after.id) == "held"
    client.cancel(first.id)
    assert client.show(after.id)["state"] == "cancelled"
    in_vain = client.submit(SPEC, after=[first.id])
    assert f"job {in_vain.id} is already cancelled: job {first.id}" in (in_vain.warning or "")
    assert client.submit(SPEC, after=[first.id], after_any=True).warning is None
    with pytest.raises(JobNotFound):
        client.submit(SPEC, after=[9999])


def test_what_no_worker_could_run_is_refused_before_any_is_queued(
    client: Client, settings: Settings
) -> None:
    # Nobody knows of any worker: it may come.
    assert client.submit(SPEC, queue="nowhere").known_by is None
    register(client, settings, "default")
    before = len(client.jobs().rows)
    with pytest.raises(NeverScheduled, match="queue nowhere") as refused:
        client.submit(SPEC, queue="nowhere")
    assert "oven serves default with cpu:0" in str(refused.value)
    with pytest.raises(NeverScheduled, match="needs a GPU"):
        client.submit_all([client.load(SPEC, overrides=["resources.gpus=1"])])
    assert len(client.jobs().rows) == before
    assert client.submit(SPEC, queue="nowhere", wait_for_worker=True).id


def test_moves_and_their_refusals(client: Client) -> None:
    one, two = client.submit(SPEC), client.submit(SPEC)
    assert client.move(two.id, top=True) == "queued"
    assert [row["id"] for row in client.alive()] == [two.id, one.id]
    assert client.hold(two.id) == client.hold(two.id) == "held"
    client.cancel(one.id)
    for refused in (client.hold, client.release, lambda job: client.move(job, top=True)):
        with pytest.raises(WrongState, match="cancelled"):
            refused(one.id)
    assert client.retry(one.id) == "queued"
    with pytest.raises(WrongState, match="queued"):
        client.retry(one.id)
    kinds = [event["kind"] for event in client.events(one.id)]
    assert kinds == ["submitted", "cancelled", "retried"]


def test_queues_are_paused_and_limited(client: Client) -> None:
    client.submit(SPEC)
    client.pause_queue("default")
    client.set_max_running("default", 3)
    (row,) = client.queues()
    assert (row["name"], row["paused"], row["max_running"], row["queued"]) == (
        *("default", True, 3, 1),
    )
    client.resume_queue("default")
    client.set_max_running("default", None)
    (row,) = client.queues()
    assert (row["paused"], row["max_running"]) == (False, None)


def test_workers_are_drained_by_name_or_host(client: Client, settings: Settings) -> None:
    register(client, settings, "default")
    assert client.drain_worker("oven") == client.drain_worker("host-1") == ["oven"]
    with pytest.raises(WorkerNotFound, match="fornada worker ls"):
        client.drain_worker("other")


def test_workers_say_that_they_live_at_beats_of_upkeep(client: Client, settings: Settings) -> None:
    register(client, settings, "default")
    job = client.submit(SPEC)
    for changed, alive, waits in (
        (replace(settings, heartbeat_s=1e-6), 1, None),
        (replace(settings, upkeep_s=1e-6), 0, "NoWorker"),
    ):
        with Client(changed) as other:
            assert len(other.workers()) == alive
            # A job waits for a worker as long as none of those is there.
            assert [row["waits"] for row in other.alive()] == [waits]
            assert next(other.follow(job.id)).waits == waits


def test_a_worker_is_as_busy_as_its_jobs_say(client: Client, settings: Settings) -> None:
    # Its own word is idle, and as old as its last beat.
    register(client, settings, "default")
    (before,) = client.workers()
    assert (before["state"], before["running"]) == ("idle", [])
    job = client.submit(SPEC)
    database = Database(settings.sql_url)
    claimed = claims.claim(
        database, worker="oven", host="host-1", slot="cpu:0", queues=["default"], has_gpu=False,
        lease_s=60.0,
    )  # fmt: skip
    database.dispose()
    assert claimed is not None
    (after,) = client.workers()
    assert (after["state"], after["running"]) == ("busy", [job.id])


def test_a_clone_has_the_recorded_spec_with_changes(client: Client) -> None:
    old = client.submit(SPEC, tags={"a": "1"}, overrides=["data.batch_size=128"])
    new = client.clone(old.id, overrides=["fit.epochs=7"])
    before, after = client.show(old.id), client.show(new.id)
    assert after["spec"]["fit"]["epochs"] == 7
    assert after["spec"] | {"fit": before["spec"]["fit"]} == before["spec"]
    assert after["tags"] == {"a": "1"}
    with pytest.raises(SpecProblems, match=f"job {old.id}|--set"):
        client.clone(old.id, overrides=["fit.epochs=none"])


def test_only_a_whole_end_can_be_extended(client: Client) -> None:
    job = client.submit(SPEC)
    with pytest.raises(NotExtendable, match="fornada wait"):
        client.extend(job.id, 5)
    client.cancel(job.id)
    with pytest.raises(NotExtendable, match="fornada retry"):
        client.extend(job.id, 5)
    with pytest.raises(ValueError, match="1 or more"):
        client.extend(job.id, 0)


def test_epochs_that_a_new_attempt_runs_again_are_seen_again(
    client: Client, settings: Settings
) -> None:
    job = client.submit(SPEC)
    database = Database(settings.sql_url)
    following = client.follow(job.id, look_s=0.01)

    def claimed(first_epoch: int) -> Fence:
        found = claims.claim(
            database, worker="w", host="h", slot="cpu:0", queues=["default"], has_gpu=False,
            lease_s=60.0,
        )  # fmt: skip
        assert found is not None
        facts = StartedFacts(
            1, "cpu", "stub", {}, 0, 1, "0", ["a"], 1, 0, 0, "x", first_epoch=first_epoch
        )
        attempts.started(database, found.fence, facts)
        return found.fence

    def trained(fence: Fence, *numbers: int) -> list[int]:
        rows = [EpochRow(number, 1.0, 1.0, 0.1, {"loss": 1.0}) for number in numbers]
        attempts.record_epochs(database, fence, rows)
        return [epoch["epoch"] for epoch in next(following).epochs]

    first = claimed(1)
    assert trained(first, 1, 2, 3) == [1, 2, 3]
    assert trained(first, 4) == [4]
    verdicts.finish(database, first, Verdict(AttemptOutcome.PREEMPTED))
    second = claimed(3)
    assert trained(second, 3) == [3]
    assert trained(second, 4, 5) == [4, 5]
    database.dispose()


def test_the_example_in_the_documentation_is_python() -> None:
    assert doctest.testmod(fornada.client).failed == 0
    assert fornada.Client is Client


@pytest.mark.parametrize("when", [datetime(2026, 1, 2), "22:00"])
def test_a_time_without_its_zone_is_refused_with_a_sentence(client: Client, when: Any) -> None:
    for ask in (lambda: client.submit(SPEC, not_before=when), lambda: client.jobs(since=when)):
        with pytest.raises(ValueError, match="expected a datetime with a time zone"):
            ask()
    with pytest.raises(ValueError, match="whole number"):
        client.extend(client.submit(SPEC).id, "+2")  # type: ignore[arg-type]
