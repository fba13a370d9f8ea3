"""A long history, many jobs that wait and many idle workers, for R28."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import insert, text

from fornada.db.clock import now
from fornada.db.queue import jobs
from fornada.db.reads import pages
from fornada.db.states import JobState
from fornada.db.store.session import Database
from fornada.db.store.tables import Job
from tests.services import store
from tests.worker_process import REPOSITORY

WAITING = 10_000
IDLE_WORKERS = 200
# Rows of one insert.
AT_ONCE = 2_000


def fill(database: Database, finished: int, waiting: int = WAITING) -> None:
    """Jobs that ended, each with a duration of its own, then jobs that wait."""
    past: dict[str, Any] = {"state": JobState.SUCCEEDED, "attempt": 1, "epochs_run": 3}
    past |= {"best_epoch": 3, "best_value": 0.1}
    row = jobs.row_of(store.new_job())
    with database.begin() as connection:
        for begin in range(0, finished, AT_ONCE):
            ended = [
                row | past | {"uid": f"{number:032x}", "duration_s": float(number)}
                for number in range(begin, begin + AT_ONCE)
            ]
            connection.execute(insert(Job).values(submitted_at=now(), finished_at=now()), ended)
        queued = [
            row | {"uid": f"{2**64 + number:032x}", "priority": number % 5}
            for number in range(waiting)
        ]
        connection.execute(insert(Job).values(submitted_at=now()), queued)
        # As autovacuum would have done in the months that such a history takes.
        connection.execute(text("ANALYZE job"))


@contextmanager
def idle_workers(database_url: str, count: int = IDLE_WORKERS) -> Iterator[None]:
    """Workers that look for work where there is none."""
    command = [sys.executable, "-m", "tests.faults.idle_workers", str(count)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{database_url}\n")
        process.stdin.flush()
        print(process.stdout.readline().strip())
        yield
        assert process.poll() is None, "the idle workers ended"
        process.stdin.close()
        assert process.wait(30) == 0


class Pages:
    """Turns the pages of the history, the longest jobs first; each call shows the next one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: str | None = None

    def __call__(self) -> None:
        found = pages.page(
            self._database, sort="duration", descending=True, after=self._next, limit=50
        )
        assert len(found.rows) == 50
        self._next = found.next
