"""Databases that do not answer, answer late, or have another schema than expected."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable, SchemaMismatch
from fornada.db.migrations import prepare
from fornada.db.queue import attempts
from fornada.db.reads import documents, pages
from fornada.db.store.session import Database
from fornada.db.store.sqlite import journal_mode
from tests.servers import PostgresServer
from tests.services import store

SECRET = "s3cr3t-w0rd"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the test may stop and pause, with a migrated database `store`."""
    with PostgresServer() as running:
        running.execute("CREATE DATABASE store")
        database = Database(running.url("store"))
        migrations.upgrade(database)
        database.dispose()
        yield running


def test_a_stopped_server_is_unreachable_until_it_starts_again(server: PostgresServer) -> None:
    database = Database(server.url("store"))
    fence = store.running(database)
    server.kill()
    for ask in (
        lambda: attempts.renew(database, fence, 60.0),
        lambda: pages.page(database),
        lambda: store.add(database),
    ):
        with pytest.raises(DatabaseUnreachable) as away:
            ask()
        assert server.password not in str(away.value)
        assert "***" in str(away.value)
        assert away.value.code == "DATABASE_UNREACHABLE"
    server.start()
    assert not attempts.renew(database, fence, 60.0).cancel
    database.dispose()


def test_a_restart_of_the_server_between_two_calls_raises_no_error(server: PostgresServer) -> None:
    database = Database(server.url("store"))
    fence = store.running(database)
    server.kill()
    server.start()
    assert not attempts.renew(database, fence, 60.0).cancel
    database.dispose()


@contextmanager
def paused(server: PostgresServer) -> Iterator[None]:
    """Pause the processes of the server and of all its sessions; continue them at the end."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    pids = [server.pid, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_call_to_a_hung_server_ends(server: PostgresServer) -> None:
    database = Database(server.url("store"), answer_timeout_s=1.0)
    fence = store.running(database)
    with paused(server):
        # The first call uses an open connection, the second one opens a new connection.
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(DatabaseUnreachable):
                attempts.renew(database, fence, 60.0)
            # One second to answer, five to connect, and the rest because the machine may be busy.
            assert time.monotonic() - began < 15.0
    assert not attempts.renew(database, fence, 60.0).cancel
    database.dispose()


def test_the_server_ends_idle_transactions_and_long_waits_for_locks(
    server: PostgresServer,
) -> None:
    database = Database(server.url("store"))
    with database.begin() as connection:
        limit = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
        lock = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    assert (limit, lock) == ("10s", "10s")
    database.dispose()


def test_a_wrong_password_is_not_shown(server: PostgresServer) -> None:
    database = Database(server.url("store").replace(server.password, SECRET))
    with pytest.raises(DatabaseUnreachable, match="password authentication failed") as refused:
        pages.page(database)
    assert SECRET not in str(refused.value)
    database.dispose()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ana:{SECRET}@127.0.0.1:1/store",
        f"postgresql://ana@127.0.0.1:1/store?password={SECRET}",
        f"postgresql+psycopg2://ana:{SECRET}@127.0.0.1:1/store",
        f"mysql://ana:{SECRET}@127.0.0.1/store",
        f"ana:{SECRET}@127.0.0.1/store",
        f"postgresql://ana:{SECRET}@127.0.0.1:port/store",
        "sqlite:////no/such/folder/store.db",
    ],
)
def test_no_url_shows_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnreachable) as refused:
        pages.page(Database(url))
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value)
    assert "FORNADA_DATABASE_URL" in str(refused.value)


def test_a_database_shows_itself_without_its_password() -> None:
    database = Database(f"postgresql://ana:{SECRET}@db.example/store?sslpassword={SECRET}")
    assert SECRET not in repr(database)
    assert "ana:***@db.example/store" in repr(database)


def test_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    file = tmp_path / "fornada.db"
    file.write_text("this is not a database, whatever its name says" * 100)
    with pytest.raises(DatabaseUnreachable, match="not a database"):
        migrations.current(Database(f"sqlite:///{file}"))


def test_sqlite_has_the_settings_that_keep_data_safe(sqlite_database_url: str) -> None:
    database = Database(sqlite_database_url)
    with database.begin() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full, busy_ms = 2, 60_000
    assert pragmas == {
        "journal_mode": journal_mode(sqlite3.sqlite_version_info).lower(),
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": busy_ms,
    }
    database.dispose()


def test_sqlite_locks_the_file_when_a_writing_transaction_begins(sqlite_database_url: str) -> None:
    database = Database(sqlite_database_url)
    file = sqlite_database_url.removeprefix("sqlite:///")
    other = sqlite3.connect(file, timeout=0, isolation_level=None)
    with database.read():
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    with database.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    database.dispose()


def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    job_id = store.add(database)

    def fail() -> None:
        with database.begin() as connection:
            connection.exec_driver_sql("UPDATE job SET name = 'other'")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert documents.job(database, job_id)["name"] != "other"


def test_a_reader_sees_no_later_writes(postgres_database_url: str) -> None:
    # Only on PostgreSQL: SQLite without a write-ahead log lets no writer commit while one reads.
    reader, writer = Database(postgres_database_url), Database(postgres_database_url)
    store.add(writer)
    count = "SELECT count(*) FROM job"
    with reader.read() as connection:
        before = connection.exec_driver_sql(count).scalar_one()
        store.add(writer)
        assert connection.exec_driver_sql(count).scalar_one() == before
    with reader.read() as connection:
        assert connection.exec_driver_sql(count).scalar_one() == before + 1
    reader.dispose()
    writer.dispose()


def test_a_reading_transaction_cannot_write(postgres_database_url: str) -> None:
    from sqlalchemy.exc import InternalError

    database = Database(postgres_database_url)
    with pytest.raises(InternalError, match="read-only"), database.read() as connection:
        connection.exec_driver_sql("UPDATE job SET name = 'other'")
    store.add(database)
    database.dispose()


def test_an_empty_database_says_what_to_run(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/fornada.db")
    with pytest.raises(SchemaMismatch, match="fornada db upgrade") as mismatch:
        prepare(database, may_upgrade=False)
    assert (mismatch.value.found, mismatch.value.needed) == (None, migrations.head())
    prepare(database, may_upgrade=True)
    prepare(database, may_upgrade=False)
    assert migrations.current(database) == migrations.head()
    database.dispose()


@contextmanager
def upgraded(database: Database, revision: str, works_since: str) -> Iterator[None]:
    """A database that says that a newer Fornada has upgraded it."""
    before = migrations.schema(database)
    _say(database, revision, works_since)
    yield
    _say(database, before.revision, before.works_since)


def _say(database: Database, revision: str | None, works_since: str | None) -> None:
    says = {"revision": revision, "works_since": works_since}
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), says)
        connection.execute(text("UPDATE fleet SET works_since = :works_since"), says)


def test_a_newer_schema_for_which_this_code_is_too_old_is_refused(database: Database) -> None:
    with upgraded(database, "9999", works_since="9998"):
        for upgrade in (False, True):
            with pytest.raises(SchemaMismatch, match="newer Fornada") as mismatch:
                prepare(database, may_upgrade=upgrade)
            assert (mismatch.value.found, mismatch.value.needed) == ("9999", migrations.HEAD)
        assert migrations.current(database) == "9999"


def test_a_newer_schema_with_which_this_code_works_is_used(database: Database) -> None:
    with upgraded(database, "9999", works_since=migrations.HEAD):
        assert prepare(database, may_upgrade=True).revision == "9999"
        with pytest.raises(SchemaMismatch, match="newer Fornada"):
            migrations.upgrade(database)
        assert migrations.current(database) == "9999"


def test_a_fleet_without_its_row_is_refused(database: Database) -> None:
    with database.begin() as connection:
        row = connection.execute(text("DELETE FROM fleet RETURNING id, uid, works_since")).one()
    try:
        with pytest.raises(SchemaMismatch, match="no row"):
            prepare(database, may_upgrade=False)
    finally:
        with database.begin() as connection:
            connection.execute(
                text("INSERT INTO fleet VALUES (:id, :uid, :works_since)"), row._asdict()
            )
