"""Every answer about jobs, queues and workers is what its TypedDict in `db/answers.py` declares."""

from fornada.db.answers import (
    EpochAnswer,
    EventAnswer,
    HistoryAnswer,
    JobAnswer,
    LiveAnswer,
    QueueAnswer,
    WaitsAnswer,
    WorkerAnswer,
)
from fornada.db.queue import attempts, queues, verdicts, workers
from fornada.db.reads import documents, history, live, pages
from fornada.db.store.session import Database
from tests.answers import wrong
from tests.services import store


def test_of_jobs_in_every_state(database: Database) -> None:
    store.workers_up(database, "w1")
    failed = store.running(database, tags={"a": "1"})
    attempts.record_epochs(
        database, failed, [store.epoch(1, store.best(1, 0.5), val_loss=float("nan"))]
    )
    verdicts.finish(database, failed, store.FAILED)
    running = store.running(database)
    attempts.record_epochs(database, running, [store.epoch(1, store.best(1, 0.5), val_loss=0.5)])
    queued = store.add(database)
    store.add(database, held=True)
    for job in (failed.job_id, running.job_id, queued):
        assert wrong(documents.job(database, job), JobAnswer) == []
        assert wrong(history.events(database, job), list[EventAnswer]) == []
        assert wrong(history.epochs(database, job), list[EpochAnswer]) == []
        assert wrong(live.waits(database, job), WaitsAnswer) == []
    assert wrong(pages.page(database).rows, list[HistoryAnswer]) == []
    found = live.alive(database, within_s=store.LONG_S)
    assert {row["state"] for row in found} == {"running", "queued", "held"}
    assert wrong(found, list[LiveAnswer]) == []


def test_of_queues_and_workers(database: Database) -> None:
    workers.register(database, store.worker(slots=[store.CPU, store.GPU]))
    queues.pause(database, "night", "ana@laptop")
    assert wrong(queues.ls(database, store.LONG_S), list[QueueAnswer]) == []
    assert wrong(workers.alive(database, store.LONG_S), list[WorkerAnswer]) == []


def test_a_document_that_differs_is_noticed(database: Database) -> None:
    document = {**documents.job(database, store.add(database)), "seed": "7", "more": 1}
    del document["tags"]
    assert sorted(wrong(document, JobAnswer)) == [
        ".more is not declared",
        ".seed: '7' is not of <class 'int'>",
        ".tags is missing",
    ]
