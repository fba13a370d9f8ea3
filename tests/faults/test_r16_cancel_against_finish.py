"""R16: a cancel and a finish of the same moment leave one final state, the one that was told."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from fornada.db.errors import Fenced, WrongState
from fornada.db.queue import steering, verdicts
from fornada.db.reads import documents
from fornada.db.records import Fence
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.services import store

RACES = 1000
SEED = 16
# About as long as the transactions take themselves, so that either may come first.
SPREAD_S = 0.003


@pytest.mark.timeout(600)
def test_one_final_state_and_the_one_the_client_was_told(database_url: str) -> None:
    database, people = Database(database_url), Database(database_url)
    timings = random.Random(SEED)
    ends: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as racers:
        for race in range(RACES):
            fence = store.running(database)
            start = threading.Barrier(2)
            begin_worker, begin_person = timings.uniform(0, SPREAD_S), timings.uniform(0, SPREAD_S)
            finished = racers.submit(_finish, database, fence, start, begin_worker)
            cancelled = racers.submit(_cancel, people, fence, start, begin_person)
            told = (finished.result(60), cancelled.result(60))
            final = JobState(documents.job(database, fence.job_id)["state"])
            saw = f"race {race}: worker after {begin_worker * 1e3:.2f} ms was told {told[0]}, "
            saw += f"client after {begin_person * 1e3:.2f} ms was told {told[1]}; row: {final}"
            # An accepted cancel wins over the verdict; one that comes later hears of the success.
            promised = JobState.CANCELLED if told[1] is JobState.RUNNING else JobState.SUCCEEDED
            assert told[0] is final, saw
            assert final is promised, saw
            assert told[1] in (JobState.RUNNING, JobState.SUCCEEDED), saw
            # Who did not hear the answer is told the same; another verdict comes too late.
            assert verdicts.finish(database, fence, store.SUCCEEDED) is final, saw
            with pytest.raises(Fenced):
                verdicts.finish(database, fence, store.FAILED)
            ends[final] += 1
    print(f"seed {SEED}: {dict(ends)}")
    # Without both ends the timings raced nothing.
    assert min(ends[JobState.CANCELLED], ends[JobState.SUCCEEDED]) > RACES / 20, ends
    database.dispose()
    people.dispose()


def _finish(database: Database, fence: Fence, start: threading.Barrier, after_s: float) -> JobState:
    _at(start, after_s)
    return verdicts.finish(database, fence, store.SUCCEEDED)


def _cancel(database: Database, fence: Fence, start: threading.Barrier, after_s: float) -> JobState:
    """What the client was told the job is; `running`: its cancel was accepted."""
    _at(start, after_s)
    try:
        return steering.cancel(database, fence.job_id, "ana@laptop")
    except WrongState as refused:
        return refused.state


def _at(start: threading.Barrier, after_s: float) -> None:
    """Return so many seconds after all racers have come; finer than any wait is."""
    start.wait(60)
    end = time.monotonic() + after_s
    while time.monotonic() < end:
        pass
