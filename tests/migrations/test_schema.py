"""The schema's revisions, on both databases: upgrade an empty one, downgrade, upgrade again."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect

from fornada.db import migrations
from fornada.db.migrations import prepare
from fornada.db.queue import workers
from fornada.db.reads import documents, history
from fornada.db.store.session import Database
from tests.services import store


def tables(database: Database) -> set[str]:
    """The names of the tables."""
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def test_an_upgrade_of_an_empty_database_gives_the_schema_that_the_code_needs(
    empty: Database,
) -> None:
    assert migrations.current(empty) is None
    assert migrations.check(empty)
    migrations.upgrade(empty)
    assert migrations.current(empty) == migrations.head()
    assert migrations.check(empty) == []
    assert store.add(empty) == 1
    assert documents.job(empty, 1)["state"] == "queued"


def test_a_second_upgrade_changes_nothing(empty: Database) -> None:
    migrations.upgrade(empty)
    store.add(empty)
    migrations.upgrade(empty)
    assert documents.job(empty, 1)["id"] == 1


def test_a_downgrade_and_an_upgrade_give_the_same_tables(empty: Database) -> None:
    migrations.upgrade(empty)
    before = tables(empty)
    assert {"job", "attempt", "epoch", "log_chunk", "dependency", "dataset", "queue"} <= before
    migrations.downgrade(empty)
    assert tables(empty) <= {"alembic_version", "sqlite_sequence"}
    migrations.upgrade(empty)
    assert tables(empty) == before
    assert migrations.check(empty) == []


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX job_claim",
        "DROP INDEX metric_summary_min",
        "DROP INDEX job_key",
        "ALTER TABLE dependency DROP COLUMN any_end",
        "ALTER TABLE job ADD COLUMN surprise INTEGER",
        "ALTER TABLE job DROP COLUMN seed",
        "DROP TABLE upkeep",
    ],
)
def test_check_finds_a_difference_of_the_schema(empty: Database, change: str) -> None:
    migrations.upgrade(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql(change)
    assert len(migrations.check(empty)) == 1


def test_an_upgrade_that_fails_creates_nothing(empty: Database) -> None:
    with empty.begin() as connection:
        # The first revision creates a table with this name late, and fails.
        connection.exec_driver_sql("CREATE TABLE worker (name INTEGER)")
    with pytest.raises(Exception, match="worker"):
        migrations.upgrade(empty)
    assert tables(empty) == {"worker"}
    assert migrations.current(empty) is None


def test_upgrades_at_the_same_time_take_turns(url: str) -> None:
    ready = threading.Barrier(4)
    failed: list[BaseException] = []

    def upgrade() -> None:
        own = Database(url)
        ready.wait()
        try:
            prepare(own, may_upgrade=True)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            own.dispose()

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    database = Database(url)
    assert migrations.check(database) == []
    database.dispose()


def test_the_list_of_revisions_agrees_with_the_files() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    files = ScriptDirectory.from_config(config)
    assert files.get_heads() == [migrations.HEAD]
    newest_first = [revision.revision for revision in files.walk_revisions()]
    assert tuple(reversed(newest_first)) == migrations.REVISIONS


_JOB = (
    "INSERT INTO job (uid, name, state, queue, priority, gpus, spec, spec_hash, seed, "
    '"user", retry_attempts, submitted_at, attempt, epochs_run, monitor, monitor_mode) VALUES '
    "('{name}', '{name}', '{state}', 'default', 0, 'auto', '{{}}', 'aa', 1, 'ana', 3, "
    "'2026-01-02 03:04:05.000000', {attempt}, {attempt}, 'val_loss', 'min')"
)
# Rows of revision 0001. The third job is deleted, so that its id is used up.
_RECORDED = (
    _JOB.format(name="old", state="succeeded", attempt=1),
    _JOB.format(name="next", state="held", attempt=0),
    _JOB.format(name="deleted", state="queued", attempt=0),
    "DELETE FROM job WHERE name = 'deleted'",
    "INSERT INTO dependency (job_id, needs_id) VALUES (2, 1)",
    "INSERT INTO job_tag (job_id, name, value) VALUES (1, 'team', 'red')",
    "INSERT INTO attempt (job_id, number, worker, host, slot, claimed_at, outcome) "
    "VALUES (1, 1, 'w1', 'h1', 'cpu:0', '2026-01-02 03:04:06.000000', 'succeeded')",
    "INSERT INTO epoch (job_id, number, attempt, seconds, images_per_s, metrics) "
    "VALUES (1, 1, 1, 2.0, 10.0, '{\"loss\": 0.5}')",
    "INSERT INTO event (job_id, at, kind, actor) "
    "VALUES (1, '2026-01-02 03:04:05.000000', 'submitted', 'ana')",
)


def names(database: Database) -> list[str]:
    """The names of all jobs, in the order of their ids."""
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT name FROM job ORDER BY id")
        return [row.name for row in rows]


def test_an_upgrade_keeps_the_rows_of_an_older_schema(empty: Database) -> None:
    migrations.upgrade(empty, "0001")
    with empty.begin() as connection:
        for statement in _RECORDED:
            connection.exec_driver_sql(statement)
    migrations.upgrade(empty)
    assert migrations.check(empty) == []
    shown = documents.job(empty, 1)
    assert (shown["name"], shown["state"], shown["attempts"]) == ("old", "succeeded", 1)
    assert shown["tags"] == {"team": "red"}
    assert [row["attempt"] for row in shown["executions"]] == [1]
    assert [row["metrics"] for row in history.epochs(empty, 1)] == [{"loss": 0.5}]
    assert [event["kind"] for event in history.events(empty, 1)] == ["submitted"]
    # The new columns have the values of a job that nobody has held, retried or given a key.
    with empty.read() as connection:
        rows = connection.exec_driver_sql("SELECT tries, resume_after, key, held_by FROM job")
        assert {tuple(row) for row in rows} == {(0, 0, None, None)}
        needs = connection.exec_driver_sql("SELECT job_id, needs_id, any_end FROM dependency")
        assert [tuple(row) for row in needs] == [(2, 1, False)]
    # The id of the deleted job is not used again: the upgrade has kept the table's counter.
    assert store.add(empty, name="new") == 4


def test_a_downgrade_keeps_the_jobs(empty: Database) -> None:
    migrations.upgrade(empty)
    store.add(empty, name="kept", tags={"team": "red"})
    migrations.downgrade(empty, "0001")
    assert migrations.current(empty) == "0001"
    assert names(empty) == ["kept"]
    migrations.upgrade(empty)
    assert migrations.check(empty) == []
    assert documents.job(empty, 1)["tags"] == {"team": "red"}


def test_a_worker_of_revision_0005_works_on_the_newest_schema(empty: Database) -> None:
    migrations.upgrade(empty)
    assert migrations.schema(empty).works_since == "0005"
    with empty.begin() as connection:
        # It names its columns, so it leaves those out that it does not know.
        connection.exec_driver_sql(
            "INSERT INTO worker (name, host, pid, slots, queues, devices, versions, state, "
            "started_at, seen_at) VALUES ('w1', 'h1', 7, '[]', '[]', '[]', '{}', 'idle', "
            "'2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000')"
        )
    (row,) = workers.alive(empty, within_s=1e9)
    assert (row["state"], row["unfit"]) == ("busy", None)
