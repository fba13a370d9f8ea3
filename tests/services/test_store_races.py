"""People, workers and upkeep act at the same time in threads. Their order changes with each run."""

import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from fornada.db.errors import Fenced, WrongState
from fornada.db.queue import attempts, expiry, queues, steering, upkeep, verdicts
from fornada.db.reads import documents, history, pages
from fornada.db.records import Fence, Verdict
from fornada.db.states import AttemptOutcome, JobState
from fornada.db.store.session import Database
from tests.services import store

THREADS = 6
# Calls of each thread. SQLite is slower: its writers take turns, and each one waits for the disk.
ACTS = {"sqlite": 40, "postgresql": 150}
SEED = 30
OUTCOMES = [*AttemptOutcome]


class Actor:
    """Makes random calls, one after the other, on its own connections."""

    def __init__(self, url: str, number: int, fences: list[Fence], done: Counter[str]) -> None:
        self.database = Database(url)
        self.name = f"w{number}"
        self._random = random.Random(SEED + number)
        self._fences = fences
        self._done = done
        self._slots = 0
        self._acts: list[Callable[[], object]] = [
            *(self.submit, self.claim, self.claim, self.finish, self.finish, self.lose),
            *(self.cancel, self.hold, self.release, self.move, self.retry, self.limit),
        ]

    def act(self) -> None:
        """Make a random call. It may be refused, because another thread has changed the job."""
        act = self._random.choice(self._acts)
        try:
            act()
        except (WrongState, Fenced):
            self._done["refused"] += 1
        else:
            self._done[act.__name__] += 1

    def submit(self) -> None:
        """Submit a job, often with dependencies or with a key that others use too."""
        after = tuple(self._job() for _ in range(self._random.randrange(3)) if self._fences)
        store.add(
            self.database,
            priority=self._random.randrange(3),
            after=after,
            after_any=self._random.random() < 0.3,
            key=self._random.choice([None, None, "a", "b", "c"]),
        )

    def claim(self) -> None:
        self._slots += 1
        claimed = store.claim(self.database, worker=self.name, slot=f"cpu:{self._slots}")
        if claimed is not None:
            self._fences.append(claimed.fence)

    def finish(self) -> None:
        if self._fences:
            fence = self._random.choice(self._fences[-8:])
            outcome = self._random.choice(OUTCOMES)
            verdicts.finish(self.database, fence, Verdict(outcome), pause_s=0.0)

    def lose(self) -> None:
        if self._fences:
            attempts.renew(self.database, self._random.choice(self._fences[-8:]), lease_s=-1.0)
        expiry.expire_leases(self.database, pause_s=0.0)
        upkeep.release_due(self.database)

    def cancel(self) -> None:
        steering.cancel(self.database, self._job(), "bob")

    def hold(self) -> None:
        steering.hold(self.database, self._job(), "bob")

    def release(self) -> None:
        steering.release(self.database, self._job(), "bob")

    def move(self) -> None:
        steering.move(self.database, self._job(), "bob", top=True)

    def retry(self) -> None:
        steering.retry(self.database, self._job(), "bob")

    def limit(self) -> None:
        queues.set_max_running(self.database, "default", self._random.choice([None, 9]), "bob")

    def _job(self) -> int:
        # One of the last jobs, so that several threads act on the same job.
        rows = pages.page(self.database, limit=9).rows
        return int(self._random.choice(rows)["id"])


@pytest.mark.timeout(300)
def test_calls_from_many_threads_lose_nothing(database_url: str) -> None:
    database = Database(database_url)
    for _ in range(4):
        store.add(database)
    fences: list[Fence] = []
    done: Counter[str] = Counter()
    failed: list[BaseException] = []
    ready = threading.Barrier(THREADS)

    def run(number: int) -> None:
        actor = Actor(database_url, number, fences, done)
        ready.wait()
        try:
            for _ in range(ACTS[database.dialect]):
                actor.act()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            actor.database.dispose()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"seed {SEED}: {dict(done)}")
    # There was no deadlock and no other error, and no job waits for a job that has ended.
    assert failed == []
    assert upkeep.release_due(database) == []
    rows = pages.page(database, limit=10_000).rows
    assert len(set(fences)) == len(fences)
    for row in rows:
        shown = documents.job(database, row["id"])
        running = shown["state"] == JobState.RUNNING
        outcomes = [run["outcome"] for run in shown["executions"]]
        assert [run["attempt"] for run in shown["executions"]] == list(
            range(1, shown["attempts"] + 1)
        )
        assert [outcome is None for outcome in outcomes] == [
            running and number == len(outcomes) for number in range(1, len(outcomes) + 1)
        ]
        kinds = Counter(event["kind"] for event in history.events(database, row["id"]))
        assert kinds["claimed"] == shown["attempts"]
    database.dispose()
