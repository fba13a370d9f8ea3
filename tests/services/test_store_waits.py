"""Which jobs are live, why jobs wait, and when they will start."""

from datetime import UTC, datetime, timedelta

import pytest

from fornada.db.errors import JobNotFound
from fornada.db.queue import attempts, fleet, queues, steering, verdicts, workers
from fornada.db.reads import documents, history, live
from fornada.db.reasons import Reason, WorkersUnfit
from fornada.db.store.session import Database
from tests.services import store


def waits(database: Database) -> dict[int, Reason | None]:
    """Why each waiting job waits. `live.waits` must say the same about each job."""
    rows = live.alive(database, within_s=store.LONG_S)
    found = {row["id"]: row["waits"] for row in rows if row["state"] != "running"}
    alone = {i: live.waits(database, i, within_s=store.LONG_S)["waits"] for i in found}
    assert alone == found
    return found


def starts(database: Database) -> list[float | None]:
    """Seconds until each queued job starts, rounded to 0.5 s, in the order of their claims."""
    rows = live.alive(database, within_s=store.LONG_S)
    found = [row["starts_in_s"] for row in rows if row["state"] == "queued"]
    return [None if at is None else round(at * 2) / 2 for at in found]


def test_no_worker_serves_the_queue(database: Database) -> None:
    job_id = store.add(database)
    assert waits(database) == {job_id: "NoWorker"}
    store.workers_up(database, "w1", queues=["other"])
    store.workers_up(database, "w2", state="draining")
    assert waits(database) == {job_id: "NoWorker"}
    store.workers_up(database, "w1")
    assert waits(database) == {job_id: None}
    assert live.alive(database, within_s=-1.0)[0]["waits"] == "NoWorker"


def test_the_hosts_of_all_workers_of_the_queue_cannot_run_jobs(database: Database) -> None:
    job_id = store.add(database)
    store.workers_up(database, "w1", "w2", unfit="the disk is full")
    store.workers_up(database, "w3", unfit="no data", queues=["other"])
    assert waits(database) == {job_id: "WorkersUnfit(w1,w2)"}
    why = live.waits(database, job_id, within_s=store.LONG_S)["waits"]
    assert isinstance(why, WorkersUnfit)
    assert why.why == "the disk is full"
    needs_gpu = store.add(database, gpus="1")
    assert waits(database)[needs_gpu] == "NeedsGpu"
    assert workers.idle_slots(database, store.LONG_S) == {}

    # A worker that takes jobs is the one that the job waits for.
    workers.beat(database, store.worker("w2"))
    assert waits(database)[job_id] is None
    assert workers.idle_slots(database, store.LONG_S) == {"default": 1}


def test_a_job_does_not_wait_for_another_host_that_cannot_run_jobs(database: Database) -> None:
    store.workers_up(database, "w1")
    job_id = store.crashed(database)
    store.workers_up(database, "w2", unfit="the disk is full")
    claimed = store.claim(database, worker="w1", host="host-of-w1")
    assert claimed is not None
    assert claimed.job_id == job_id


def test_no_worker_of_the_queue_has_a_gpu(database: Database) -> None:
    store.workers_up(database, "w1")
    store.workers_up(database, "w2", queues=["other"], slots=[store.GPU])
    job_id = store.add(database, gpus="1")
    assert waits(database) == {job_id: "NeedsGpu"}
    store.workers_up(database, "w3", slots=[store.GPU])
    assert waits(database) == {job_id: None}


def test_slots_are_busy_and_other_jobs_come_first(database: Database) -> None:
    store.workers_up(database, "w1")
    store.running(database)
    low = store.add(database, priority=-1)
    ids = [store.add(database) for _ in range(3)]
    assert waits(database) == {
        ids[0]: "SlotsBusy",
        ids[1]: "Priority(1 ahead)",
        ids[2]: "Priority(2 ahead)",
        low: "Priority(3 ahead)",
    }


def test_alive_lists_running_jobs_first(database: Database) -> None:
    ended = store.running(database)
    verdicts.finish(database, ended, store.SUCCEEDED)
    fence = store.running(database, priority=-5, tags={"a": "1"})
    high = store.add(database, priority=5)
    attempts.record_epochs(database, fence, [store.epoch(1, store.best(1, 0.5), loss=0.5)])
    steering.cancel(database, fence.job_id, "bob")
    running, waiting = live.alive(database)
    assert (running["id"], waiting["id"]) == (fence.job_id, high)
    assert (running["epoch"], running["epochs"]) == (1, 3)
    assert (running["worker"], running["slot"]) == ("w1", "cpu:0")
    assert running["best"]["value"] == 0.5
    assert running["tags"] == {"a": "1"}
    assert running["cancel_requested"]
    # Two epochs of 1.5 s remain.
    assert running["eta_s"] == pytest.approx(3.0)
    assert running["elapsed_s"] >= 0.0
    assert (waiting["elapsed_s"], waiting["eta_s"], waiting["epoch"]) == (None, None, 0)
    assert len(live.alive(database, limit=1)) == 1


def test_a_job_whose_time_has_not_come(database: Database) -> None:
    store.workers_up(database, "w1")
    time = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    job_id = store.add(database, not_before=time)
    shown = f"{time:%Y-%m-%dT%H:%M:%S}.000Z"
    assert waits(database) == {job_id: f"NotBefore({shown})"}
    assert documents.job(database, job_id)["not_before"] == shown
    assert live.alive(database)[0]["starts_in_s"] == pytest.approx(3600.0, abs=60.0)


def test_a_job_in_the_pause_before_a_retry(database: Database) -> None:
    store.workers_up(database, "w1")
    fence = store.running(database)
    verdicts.finish(database, fence, store.CRASHED, pause_s=store.LONG_S)
    (why,) = waits(database).values()
    assert why is not None
    assert why.startswith("Backoff(attempt 2 in ")
    assert 0 < int(why.split()[-2]) <= store.LONG_S


def test_a_job_that_a_person_holds(database: Database) -> None:
    store.workers_up(database, "w1")
    held = store.add(database, held=True)
    queued = store.add(database)
    steering.hold(database, queued, "bob@desk")
    assert waits(database) == {held: "Held(by ana)", queued: "Held(by bob)"}


def test_a_job_that_waits_for_others(database: Database) -> None:
    store.workers_up(database, "w1")
    first, second = store.add(database, held=True), store.add(database, held=True)
    after = store.add(database, after=(second, first))
    both = store.add(database, after=(first,), held=True)
    assert waits(database)[after] == f"After(#{first},#{second})"
    assert waits(database)[both] == "Held(by ana)"
    steering.release(database, first, "ana")
    claimed = store.claim(database)
    assert claimed is not None
    verdicts.finish(database, claimed.fence, store.SUCCEEDED)
    assert waits(database)[after] == f"After(#{second})"


def test_a_queue_that_is_paused(database: Database) -> None:
    job_id = store.add(database)
    queues.pause(database, "default", "ana")
    assert waits(database) == {job_id: "QueuePaused"}
    queues.resume(database, "default", "ana")
    assert waits(database) == {job_id: "NoWorker"}


def test_a_queue_that_is_full(database: Database) -> None:
    store.workers_up(database, "w1", slots=[store.CPU, {"name": "cpu:1"}, {"name": "cpu:2"}])
    queues.set_max_running(database, "default", 2, "ana")
    store.running(database)
    ids = [store.add(database) for _ in range(2)]
    # The first job is about to start. Then the queue is full.
    assert waits(database) == {ids[0]: None, ids[1]: "QueueFull(max 2)"}


def test_a_host_that_is_avoided(database: Database) -> None:
    store.workers_up(database, "w1")
    job_id = store.crashed(database, "w1")
    # No other host could run the job.
    assert waits(database) == {job_id: None}
    store.workers_up(database, "w2")
    assert waits(database) == {job_id: None}
    other = store.add(database, priority=9)
    assert store.claim(database, worker="w2", host="host-of-w2") is not None
    assert waits(database) == {job_id: "HostAvoided"}
    assert other


def test_the_jobs_of_two_queues_share_a_slot(database: Database) -> None:
    store.workers_up(database, "w1", queues=["default", "night"])
    first, second = store.add(database), store.add(database, queue="night")
    assert waits(database) == {first: None, second: "SlotsBusy"}


def test_a_job_behind_more_jobs_than_alive_lists(database: Database) -> None:
    from fornada.db.reads.live import MOST

    store.workers_up(database, "w1")
    store.add_many(database, MOST + 5)
    last = store.add(database, priority=-1)
    assert dict(live.waits(database, last)) == {
        "waits": f"Priority({MOST + 5} ahead)",
        "starts_in_s": None,
    }
    held = store.add(database, held=True)
    assert live.waits(database, held)["waits"] == "Held(by ana)"


def test_a_job_that_does_not_wait(database: Database) -> None:
    fence = store.running(database)
    nothing = {"waits": None, "starts_in_s": None}
    assert live.waits(database, fence.job_id) == nothing
    verdicts.finish(database, fence, store.SUCCEEDED)
    assert live.waits(database, fence.job_id) == nothing
    with pytest.raises(JobNotFound):
        live.waits(database, 99)


def took(database: Database, seconds: float, **changes: object) -> None:
    """Add a job that succeeded after so many seconds."""
    from sqlalchemy import update

    from fornada.db.store.tables import Job

    fence = store.running(database, priority=100, **changes)
    verdicts.finish(database, fence, store.SUCCEEDED)
    with database.begin() as connection:
        ended = update(Job).where(Job.c.id == fence.job_id)
        connection.execute(ended.values(duration_s=seconds))


def test_without_earlier_jobs_there_is_no_estimate(database: Database) -> None:
    store.workers_up(database, "w1")
    for _ in range(3):
        store.add(database)
    assert starts(database) == [0.0, None, None]


def test_jobs_start_when_the_jobs_before_them_end(database: Database) -> None:
    store.workers_up(database, "w1", "w2")
    took(database, 100.0, spec_hash="aa")
    took(database, 300.0, spec_hash="aa")
    for _ in range(5):
        store.add(database, spec_hash="aa")
    # Two jobs run at a time, and each takes 200 s.
    assert starts(database) == [0.0, 0.0, 200.0, 200.0, 400.0]


def test_the_estimate_includes_the_rest_of_a_running_job(database: Database) -> None:
    store.workers_up(database, "w1")
    fence = store.running(database)
    store.add(database)
    assert starts(database) == [None]
    # Two epochs of 1.5 s remain.
    attempts.record_epochs(database, fence, [store.epoch(1)])
    assert starts(database) == [3.0]


def test_without_an_equal_spec_jobs_with_the_same_name_give_the_estimate(
    database: Database,
) -> None:
    store.workers_up(database, "w1")
    took(database, 60.0, name="digits", spec_hash="old")
    store.add(database, name="digits", spec_hash="new")
    store.add(database, name="digits", spec_hash="newer")
    assert starts(database) == [0.0, 60.0]


def test_a_failed_job_gives_no_estimate(database: Database) -> None:
    store.workers_up(database, "w1")
    fence = store.running(database, name="digits", spec_hash="aa")
    verdicts.finish(database, fence, store.FAILED)
    store.add(database, name="digits", spec_hash="aa")
    store.add(database, name="digits", spec_hash="aa")
    assert starts(database) == [0.0, None]


def test_a_job_of_a_full_queue_starts_when_another_one_ends(database: Database) -> None:
    store.workers_up(database, "w1", "w2", "w3")
    queues.set_max_running(database, "default", 1, "ana")
    took(database, 50.0, spec_hash="aa")
    for _ in range(3):
        store.add(database, spec_hash="aa")
    assert starts(database) == [0.0, 50.0, 100.0]


def test_a_job_that_cannot_start_has_no_estimate(database: Database) -> None:
    store.workers_up(database, "w1")
    took(database, 50.0, spec_hash="aa")
    store.add(database, spec_hash="aa", gpus="1", priority=3)
    store.add(database, spec_hash="aa", queue="night", priority=2)
    store.add(database, spec_hash="aa", queue="paused", priority=1)
    store.workers_up(database, "w2", queues=["paused"])
    queues.pause(database, "paused", "ana")
    store.add(database, spec_hash="aa")
    assert starts(database) == [None, None, None, 0.0]


def test_never_runs_says_why_no_known_worker_can_run_a_job(database: Database) -> None:
    # No worker is known yet: the first one to start may be able to run the job.
    assert fleet.never_runs(database, "default", "1") is None
    store.workers_up(database, "w1")
    assert fleet.never_runs(database, "default", "auto") is None
    assert fleet.never_runs(database, "default", "1") == "NeedsGpu"
    assert fleet.never_runs(database, "night", "0") == "NoWorker"
    store.workers_up(database, "w2", queues=["night"], slots=[store.GPU])
    assert fleet.never_runs(database, "night", "1") is None
    # A worker that is gone may come back. A worker that was last seen long ago will not.
    workers.gone(database, "w2")
    assert fleet.never_runs(database, "night", "1") is None
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE worker SET seen_at = '2020-01-01 00:00:00.000000' WHERE name = 'w2'"
        )
    assert fleet.never_runs(database, "night", "1") == "NoWorker"


def test_succeeded_like_finds_the_last_equal_job(database: Database) -> None:
    assert history.succeeded_like(database, "aa", "f1" * 32) is None
    ids = []
    for verdict in (store.SUCCEEDED, store.SUCCEEDED, store.FAILED):
        fence = store.running(database, spec_hash="aa")
        attempts.started(database, fence, store.STARTED)
        verdicts.finish(database, fence, verdict)
        ids.append(fence.job_id)
    assert history.succeeded_like(database, "aa", "f1" * 32) == ids[1]
    assert history.succeeded_like(database, "bb", "f1" * 32) is None
    assert history.succeeded_like(database, "aa", "f2" * 32) is None
