"""R28: with a long history and many idle workers a claim and a page of history stay quick.

What makes them slow is to read much, or to wait for others; how long they take is measured where
nothing else runs, by `make bench-queueing`. Ten thousand jobs wait beside the history;
`FORNADA_TEST_FULL=1` makes it a million jobs.
"""

import os

import pytest
from sqlalchemy import Connection, event

from fornada.db.store.session import Database
from tests.faults.at_size import Pages, fill, idle_workers
from tests.services import store
from tests.services.effort import Effort

FINISHED = 1_000_000 if os.environ.get("FORNADA_TEST_FULL") == "1" else 100_000
CLAIMS = 500
PAGES = 100
# Blocks of tables and indexes: those that wait fill hundreds, the history thousands.
CLAIM_READS = 200
PAGE_READS = 100


@pytest.mark.timeout(1200)
def test_claims_and_pages_read_little_and_wait_for_nobody(postgres_database_url: str) -> None:
    database = Database(postgres_database_url)
    store.keep_autovacuum_out(database)
    fill(database, FINISHED)
    with idle_workers(postgres_database_url):
        _refuse_to_wait(database)
        effort, page = Effort(database), Pages(database)
        claims = [effort.of(lambda: _claim(database)) for _ in range(CLAIMS // 2)]
        pages = [effort.of(page) for _ in range(PAGES // 2)]
    database.dispose()
    print(f"the most blocks of a claim {max(claims)}, of a page {max(pages)}")
    assert 0 < max(claims) < CLAIM_READS
    assert 0 < max(pages) < PAGE_READS


def _claim(database: Database) -> None:
    assert store.claim(database) is not None


def _refuse_to_wait(database: Database) -> None:
    """Fail where another connection holds a lock that is needed."""

    @event.listens_for(database._engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1ms'")
