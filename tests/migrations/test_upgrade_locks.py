"""What an upgrade says before it begins, what it locks, and how it waits for others."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable, SchemaBusy
from fornada.db.migrations import revisions
from fornada.db.migrations.plan import plan
from fornada.db.records import LockHolder
from fornada.db.store import table_locks
from fornada.db.store.session import Database
from fornada.db.store.table_locks import LockedOut
from tests.migrations.conftest import NAME
from tests.migrations.made_up import NUMBER, folder_with
from tests.servers import PostgresServer
from tests.services import store
from tests.until import until

# A short try: it has to be in vain.
BRIEFLY_S = 0.5


@pytest.fixture
def postgres(postgres_empty_url: str) -> Iterator[Database]:
    """A PostgreSQL database without any table."""
    database = Database(postgres_empty_url)
    yield database
    database.dispose()


@pytest.fixture
def other(
    postgres: Database, postgres_server: PostgresServer
) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    """Another session in it."""
    with postgres_server.connect(NAME) as connection:
        connection.execute("SET application_name = 'other'")
        yield connection


# What conflicts with a statement that writes, and with each statement.
_STRONG = {
    "ShareLock": LockedOut.WRITES,
    "ShareRowExclusiveLock": LockedOut.WRITES,
    "AccessExclusiveLock": LockedOut.ALL,
}


def locked(database: Database, revision: str) -> dict[str, LockedOut]:
    """Run a revision; the tables that it locked and that were there before, each with who waits."""
    from alembic import command

    with database.begin(lock_wait_s=BRIEFLY_S) as connection:
        query = text("SELECT oid, relname FROM pg_class WHERE relkind = 'r'")
        there = {row.oid: row.relname for row in connection.execute(query)}
        command.upgrade(revisions.config(connection), revision)
        rows = connection.execute(
            text("SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted")
        ).all()
    found: dict[str, LockedOut] = {}
    for row in rows:
        if row.relation in there and row.mode in _STRONG:
            table = there[row.relation]
            found[table] = max(_STRONG[row.mode], found.get(table, LockedOut.WRITES))
    return found


def test_each_revision_names_the_tables_that_it_locks(postgres: Database) -> None:
    for revision in revisions.revisions():
        assert locked(postgres, revision.number) == revision.locks, revision.number


def test_each_revision_has_an_estimate_for_each_database() -> None:
    for revision in revisions.revisions():
        assert revision.seconds.keys() == {"postgresql", "sqlite"}, revision.number
        assert all(0 <= seconds < 60 for seconds in revision.seconds.values()), revision.number


def test_the_plan_of_an_empty_database_runs_all(empty: Database) -> None:
    planned = plan(empty)
    assert (planned.before, planned.after) == (None, migrations.HEAD)
    assert tuple(each.number for each in planned.to_run) == migrations.REVISIONS
    assert planned.others_may_run
    assert migrations.current(empty) is None


def test_the_plan_names_what_is_left_to_run_and_whom_it_shuts_out(empty: Database) -> None:
    migrations.upgrade(empty, "0002")
    planned = plan(empty, "0005")
    assert (planned.before, planned.after) == ("0002", "0005")
    assert [each.number for each in planned.to_run] == ["0003", "0004", "0005"]
    assert planned.locks["upkeep"] is LockedOut.ALL
    assert planned.locks["job"] is LockedOut.WRITES
    assert (planned.works_since, planned.others_may_run) == ("0005", False)
    assert (planned.jobs, planned.seconds) == (0, 0)


def test_the_plan_grows_with_the_number_of_jobs(empty: Database) -> None:
    migrations.upgrade(empty)
    store.add(empty)
    with empty.begin() as connection:
        connection.execute(text("DELETE FROM event"))
        connection.execute(text("UPDATE job SET id = 2000000"))
    migrations.downgrade(empty, "0002")
    third = revisions.revisions("0002", "0003")[0]
    planned = plan(empty, "0003")
    assert planned.jobs == 2_000_000
    assert planned.seconds == 2 * third.seconds[empty.dialect] > 0


def test_the_plan_of_a_current_database_runs_nothing(empty: Database) -> None:
    migrations.upgrade(empty)
    store.add(empty)
    planned = plan(empty)
    assert (planned.before, planned.to_run, planned.holders) == (migrations.HEAD, (), ())
    assert (planned.others_may_run, planned.jobs) == (True, 1)


@pytest.mark.parametrize(
    ("more", "works_since"), [("", None), (f'WORKS_SINCE = "{NUMBER}"', NUMBER)]
)
def test_a_revision_says_whether_others_may_go_on(
    empty: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    works_since: str | None,
) -> None:
    migrations.upgrade(empty)
    before = migrations.schema(empty).works_since
    add = 'op.add_column("job", sa.Column("more", sa.Text()))'
    made = folder_with(tmp_path / "next", add, locks={"job": "all"}, more=more)
    monkeypatch.setattr(revisions, "FOLDER", made)
    planned = plan(empty, NUMBER)
    assert planned.others_may_run == (works_since is None)
    assert planned.works_since == (works_since or before)
    migrations.upgrade(empty, NUMBER)
    found = migrations.schema(empty)
    assert (found.revision, found.works_since) == (NUMBER, works_since or before)
    # Only a database with which the code before works is used.
    assert found.fits == (works_since is None)


def test_an_upgrade_that_cannot_lock_says_who_holds_what(
    postgres: Database, other: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    migrations.upgrade(postgres, "0001")
    with other.transaction():
        other.execute("SELECT FROM job")
        (expected,) = plan(postgres).holders
        with pytest.raises(SchemaBusy) as busy:
            migrations.upgrade(postgres, wait_s=BRIEFLY_S)
    assert busy.value.holders == (expected,)
    assert (expected.pid, expected.login) == (other.info.backend_pid, "fornada")
    assert (expected.application, expected.tables) == ("other", ("job",))
    assert expected.since is not None
    assert migrations.current(postgres) == "0001"
    # The next one has nobody to wait for.
    assert plan(postgres).holders == ()
    migrations.upgrade(postgres, wait_s=BRIEFLY_S)
    assert migrations.check(postgres) == []


def test_a_reader_stops_no_upgrade_for_which_only_writes_wait(
    postgres: Database, other: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    migrations.upgrade(postgres, "0002")
    assert revisions.locks_of(revisions.revisions("0002", "0003"))["job"] is LockedOut.WRITES
    with other.transaction():
        other.execute("SELECT FROM job")
        assert plan(postgres, "0003").holders == ()
        migrations.upgrade(postgres, "0003", wait_s=BRIEFLY_S)
    migrations.downgrade(postgres, "0002")
    with other.transaction():
        other.execute("UPDATE job SET name = 'x'")
        assert [holder.tables for holder in plan(postgres, "0003").holders] == [("job",)]
        with pytest.raises(SchemaBusy):
            migrations.upgrade(postgres, "0003", wait_s=BRIEFLY_S)


def test_others_do_not_queue_up_behind_an_upgrade_that_waits(
    postgres: Database,
    other: "psycopg.Connection[tuple[object, ...]]",
    postgres_server: PostgresServer,
) -> None:
    migrations.upgrade(postgres, "0001")
    seen: list[LockHolder] = []
    thread = threading.Thread(
        target=lambda: migrations.upgrade(postgres, wait_s=120.0, waits_for=seen.extend)
    )
    with postgres_server.connect(NAME) as worker:
        with other.transaction():
            other.execute("SELECT FROM job")
            thread.start()
            until(lambda: _waits_for_job(worker), 30)
            # As long as a worker waits for a lock.
            worker.execute("SET lock_timeout = '10s'")
            worker.execute("SELECT FROM job")
            assert thread.is_alive()
            until(lambda: seen, 30)
        thread.join(60)
    assert not thread.is_alive()
    assert {holder.pid for holder in seen} == {other.info.backend_pid}
    assert migrations.current(postgres) == migrations.HEAD


def _waits_for_job(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    query = "SELECT FROM pg_locks WHERE relation = 'job'::regclass AND NOT granted"
    return connection.execute(query).fetchone() is not None


def test_two_who_wait_for_each_other_do_not_fail(
    postgres: Database, other: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    migrations.upgrade(postgres, "0001")
    thread = threading.Thread(target=lambda: migrations.upgrade(postgres, wait_s=120.0))
    with other.transaction():
        # The upgrade locks `attempt` after `job`, so it will have `job` when it waits for this.
        other.execute("LOCK TABLE attempt IN ACCESS SHARE MODE")
        thread.start()
        with postgres.read() as connection:
            waits = text(
                "SELECT FROM pg_locks WHERE relation = 'attempt'::regclass AND NOT granted"
            )
            until(lambda: connection.execute(waits).first() is not None, 30)
        # One of the two gives way: the upgrade, or this session.
        try:
            with other.transaction():
                other.execute("SELECT FROM job")
        except psycopg.errors.DeadlockDetected:
            pass
    thread.join(60)
    assert migrations.current(postgres) == migrations.HEAD


def test_a_transaction_after_an_upgrade_waits_as_long_as_before(empty: Database) -> None:
    def limit() -> object:
        ask = "SHOW lock_timeout" if empty.dialect == "postgresql" else "PRAGMA busy_timeout"
        with empty.begin() as connection:
            return connection.exec_driver_sql(ask).scalar_one()

    before = limit()
    migrations.upgrade(empty)
    assert limit() == before


def test_a_locked_file_that_upgrades_itself_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker that starts waits as long as the database is that.
    monkeypatch.setattr(migrations, "WAIT_S", BRIEFLY_S)
    database, other = (Database(f"sqlite:///{tmp_path}/fornada.db") for _ in range(2))
    migrations.upgrade(database, "0001")
    with other.begin(), pytest.raises(DatabaseUnreachable):
        migrations.prepare(database, may_upgrade=True)
    assert migrations.prepare(database, may_upgrade=True).revision == migrations.HEAD
    database.dispose()
    other.dispose()


def test_nobody_holds_a_database_that_nobody_uses(empty: Database) -> None:
    migrations.upgrade(empty, "0001")
    assert table_locks.holders(empty, {"job": LockedOut.ALL}) == ()
