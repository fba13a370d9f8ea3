"""Rows that somebody keeps locked on PostgreSQL: they delay only what they hold."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from fornada.db.queue import queues, upkeep, verdicts
from fornada.db.reads import documents
from fornada.db.states import JobState
from fornada.db.store.session import Database
from tests.servers import PostgresServer
from tests.services import store


@pytest.fixture
def opened(postgres_database_url: str) -> Iterator[Database]:
    database = Database(postgres_database_url)
    yield database
    database.dispose()


@contextmanager
def holding(server: PostgresServer, url: str, statement: str, *values: object) -> Iterator[None]:
    """Keep a transaction open that has run this statement."""
    name = url.rpartition("/")[2].partition("?")[0]
    with server.connect(name) as connection, connection.transaction(force_rollback=True):
        connection.execute(statement.encode(), values)
        yield
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS


EVENT = "INSERT INTO event (job_id, at, kind, actor) VALUES (%s, now(), 'moved', 'bob')"


def test_a_claim_takes_a_job_of_which_somebody_is_writing_an_event(
    opened: Database, postgres_server: PostgresServer, postgres_database_url: str
) -> None:
    job_id = store.add(opened)
    with holding(postgres_server, postgres_database_url, EVENT, job_id):
        claimed = store.claim(opened)
    assert claimed is not None
    assert claimed.job_id == job_id


def test_a_locked_queue_with_a_limit_delays_no_other_queue(
    opened: Database, postgres_server: PostgresServer, postgres_database_url: str
) -> None:
    queues.set_max_running(opened, "day", 5, "ana")
    first, other = store.add(opened, queue="day", priority=9), store.add(opened, queue="night")
    lock = "SELECT FROM queue WHERE name = 'day' FOR UPDATE"
    with holding(postgres_server, postgres_database_url, lock):
        claimed = store.claim(opened, queues=["day", "night"])
        assert claimed is not None
        assert claimed.job_id == other
        assert store.claim(opened, queues=["day", "night"]) is None
    claimed = store.claim(opened, queues=["day", "night"])
    assert claimed is not None
    assert claimed.job_id == first


def test_upkeep_leaves_a_locked_job_and_releases_the_others(
    opened: Database, postgres_server: PostgresServer, postgres_database_url: str
) -> None:
    needed = store.running(opened)
    locked, free = (store.add(opened, after=(needed.job_id,)) for _ in range(2))
    # As after an error elsewhere: they are still held when what they wait for has ended.
    with postgres_server.connect(postgres_database_url.rpartition("/")[2].partition("?")[0]) as sql:
        verdicts.finish(opened, needed, store.SUCCEEDED)
        sql.execute("UPDATE job SET state = 'held' WHERE id = ANY (%s)", [[locked, free]])
    lock = "SELECT FROM job WHERE id = %s FOR UPDATE"
    with holding(postgres_server, postgres_database_url, lock, locked):
        assert upkeep.release_due(opened) == [free]
    assert upkeep.release_due(opened) == [locked]
    assert documents.job(opened, locked)["state"] == JobState.QUEUED
