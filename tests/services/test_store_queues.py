"""People pause queues, and limit how many of their jobs run."""

import threading
from operator import itemgetter

import pytest

from fornada.db.queue import attempts, queues, upkeep, verdicts
from fornada.db.reads import documents
from fornada.db.store.session import Database
from tests.services import store

CLAIMERS = 8


def test_a_paused_queue_starts_nothing(database: Database) -> None:
    fence = store.running(database)
    waiting, other = store.add(database), store.add(database, queue="night", priority=-1)
    queues.pause(database, "default", "ana")
    both = ["default", "night"]
    claimed = store.claim(database, queues=both)
    assert claimed is not None
    assert claimed.job_id == other
    assert store.claim(database, queues=both) is None
    assert upkeep.claimable(database) == {}
    # The running job goes on.
    attempts.renew(database, fence, store.LEASE_S)
    queues.resume(database, "default", "ana")
    assert upkeep.claimable(database) == {"default": 1}
    claimed = store.claim(database, queues=both)
    assert claimed is not None
    assert claimed.job_id == waiting


def test_a_queue_runs_no_more_jobs_than_its_limit(database: Database) -> None:
    queues.set_max_running(database, "default", 2, "ana")
    for _ in range(3):
        store.add(database)
    assert upkeep.claimable(database) == {"default": 2}
    first, second = store.claim(database), store.claim(database)
    assert first is not None
    assert second is not None
    assert store.claim(database) is None
    assert upkeep.claimable(database) == {}
    other = store.add(database, queue="night", priority=-5)
    claimed = store.claim(database, queues=["default", "night"])
    assert claimed is not None
    assert claimed.job_id == other
    verdicts.finish(database, first.fence, store.SUCCEEDED)
    assert store.claim(database) is not None
    queues.set_max_running(database, "default", None, "ana")
    store.add(database)
    assert store.claim(database) is not None


def test_a_limit_below_the_number_of_running_jobs_ends_no_job(database: Database) -> None:
    fences = [store.running(database) for _ in range(3)]
    queues.set_max_running(database, "default", 1, "ana")
    store.add(database)
    for fence in fences:
        assert store.claim(database) is None
        verdicts.finish(database, fence, store.SUCCEEDED)
    assert store.claim(database) is not None


@pytest.mark.parametrize("count", [0, -1])
def test_a_limit_below_one_is_refused(database: Database, count: int) -> None:
    with pytest.raises(ValueError, match="max_running"):
        queues.set_max_running(database, "default", count, "ana")
    assert queues.ls(database, store.LONG_S) == []


def test_ls_lists_every_queue_with_its_counts(database: Database) -> None:
    store.workers_up(database, "w1", queues=["default", "idle"])
    store.workers_up(database, "w2")
    store.running(database)
    store.add(database)
    store.add(database, queue="night", held=True)
    queues.pause(database, "closed", "bob@desk")
    queues.set_max_running(database, "night", 3, "ana@laptop")
    rows = {row["name"]: row for row in queues.ls(database, store.LONG_S)}
    assert list(rows) == ["closed", "default", "idle", "night"]
    counts = itemgetter("queued", "held", "running", "workers")
    assert {name: counts(row) for name, row in rows.items()} == {
        "closed": (0, 0, 0, 0),
        "default": (1, 0, 1, 2),
        "idle": (0, 0, 0, 1),
        "night": (0, 1, 0, 0),
    }
    rules = itemgetter("paused", "max_running", "changed_by")
    assert {name: rules(row) for name, row in rows.items()} == {
        "closed": (True, None, "bob@desk"),
        "default": (False, None, None),
        "idle": (False, None, None),
        "night": (False, 3, "ana@laptop"),
    }
    # A limit that another person sets does not end the pause.
    queues.set_max_running(database, "closed", 1, "ana@laptop")
    (closed, *_) = queues.ls(database, store.LONG_S)
    assert (closed["paused"], closed["max_running"]) == (True, 1)
    assert closed["changed_at"] is not None


@pytest.mark.parametrize("limit", [1, 3])
def test_many_claimers_at_once_keep_the_limit(database_url: str, limit: int) -> None:
    database = Database(database_url)
    queues.set_max_running(database, "default", limit, "ana")
    ids = store.add_many(database, 40)
    free = store.add(database, queue="free", priority=-9)
    ready = threading.Barrier(CLAIMERS)
    most: list[int] = []
    ended: list[int] = []
    failed: list[BaseException] = []
    # No thread ends a job before the limit is reached once. A slow machine might otherwise never
    # reach it.
    reached = threading.Event()
    # A thread that finds no job waits until another thread has ended one, as a worker does. If it
    # claimed again at once, it could keep the other threads from writing.
    freed = threading.Condition()

    def work(name: str) -> None:
        own = Database(database_url)
        ready.wait()
        try:
            while len(ended) <= len(ids):
                claimed = store.claim(own, worker=name, queues=["default", "free"])
                if claimed is None:
                    with freed:
                        freed.wait(1.0)
                    continue
                with own.read() as connection:
                    most.append(queues.running_in(connection, ["default"]).get("default", 0))
                if most[-1] >= limit:
                    reached.set()
                assert reached.wait(60), most
                verdicts.finish(own, claimed.fence, store.SUCCEEDED)
                with freed:
                    ended.append(claimed.job_id)
                    freed.notify_all()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            own.dispose()

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(CLAIMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert max(most) == limit
    assert sorted(ended) == sorted([*ids, free])
    assert all(documents.job(database, job_id)["attempts"] == 1 for job_id in ids[::10])
    database.dispose()
