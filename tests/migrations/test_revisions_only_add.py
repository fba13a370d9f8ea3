"""A revision that the code of the version before may not survive says so, in `works_since`."""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from sqlalchemy import Connection, text

from fornada.db import migrations
from fornada.db.migrations import REVISIONS
from fornada.db.store.session import Database
from tests.migrations.additions import Schema, breaks, schema_of

# The first revision that has `works_since`.
FIRST = "0005"


def schema_after(database: Database, revision: str) -> Schema:
    """The schema of a revision."""
    migrations.upgrade(database, revision)
    with database.read() as connection:
        return schema_of(connection)


def test_a_revision_that_does_not_only_add_sets_works_since(empty: Database) -> None:
    before = schema_after(empty, FIRST)
    for revision in REVISIONS[REVISIONS.index(FIRST) + 1 :]:
        after = schema_after(empty, revision)
        if migrations.schema(empty).works_since != revision:
            assert breaks(before, after) == [], revision
        before = after


def test_earlier_revisions_are_judged_rightly(empty: Database) -> None:
    schemas = [schema_after(empty, revision) for revision in REVISIONS]
    found = {
        revision: breaks(before, after)
        for revision, before, after in zip(REVISIONS[1:], schemas, schemas[1:], strict=False)
    }
    assert "log_chunk: column text is gone or changed" in found["0002"]
    assert found["0003"] == []
    assert any("trigger job_lease" in why for why in found["0004"])
    assert found["0005"] == []


class _Undo(Exception):
    """Ends a transaction whose changes nobody wants."""


def judged(database: Database, statements: Sequence[str]) -> list[str]:
    """Why the code before some changes may fail after them. The changes are undone."""
    found: list[str] = []
    with suppress(_Undo), database.begin() as connection:
        found += _judge(connection, statements)
        raise _Undo
    return found


def _judge(connection: Connection, statements: Sequence[str]) -> list[str]:
    before = schema_of(connection)
    for statement in statements:
        connection.execute(text(statement))
    return breaks(before, schema_of(connection))


_NOTE = "CREATE TABLE note (job_id BIGINT, number INTEGER, {}, PRIMARY KEY (job_id, number))"
_OF_EPOCH = "FOREIGN KEY (job_id, number) REFERENCES epoch (job_id, number)"
ADDITIONS = {
    "a column that may be null": ["ALTER TABLE worker ADD COLUMN more TEXT"],
    "a column with a default": ["ALTER TABLE job ADD COLUMN more INTEGER NOT NULL DEFAULT 7"],
    "a table": ["CREATE TABLE note (job_id BIGINT PRIMARY KEY REFERENCES job (id), note TEXT)"],
    "a table that gives way": [_NOTE.format(f"{_OF_EPOCH} ON DELETE CASCADE")],
    "an index": ["CREATE INDEX job_worker ON job (worker)"],
    "no index": ["DROP INDEX job_name"],
    "a unique new column": [
        "ALTER TABLE job ADD COLUMN more TEXT",
        "CREATE UNIQUE INDEX job_more ON job (queue, more)",
    ],
    "a check of a new column": ["ALTER TABLE job ADD COLUMN more INTEGER CHECK (more > 0)"],
    "a key of a new column": ["ALTER TABLE job ADD COLUMN more TEXT REFERENCES queue (name)"],
}
CHANGES = {
    "a table is dropped": ["DROP TABLE dataset"],
    "a table is renamed": ["ALTER TABLE dataset RENAME TO data_set"],
    "a column is dropped": ["ALTER TABLE attempt DROP COLUMN anew"],
    "a column is renamed": ["ALTER TABLE attempt RENAME COLUMN anew TO why_anew"],
    "a column is unique": ["CREATE UNIQUE INDEX job_one_name ON job (name)"],
    "a new column with a default is unique": [
        "ALTER TABLE job ADD COLUMN more INTEGER NOT NULL DEFAULT 7",
        "CREATE UNIQUE INDEX job_more ON job (more)",
    ],
    "an old column is checked": [
        "ALTER TABLE job ADD COLUMN more INTEGER CHECK (more IS NULL OR priority < 5)"
    ],
    "a row may not be deleted": [_NOTE.format(_OF_EPOCH)],
}
ON_SQLITE = {
    "a trigger may refuse a row": [
        "CREATE TRIGGER late BEFORE INSERT ON job WHEN NEW.priority > 5 "
        "BEGIN SELECT RAISE(ABORT, 'late'); END"
    ],
    "a trigger is dropped": ["DROP TRIGGER job_uid_insert"],
}
ON_POSTGRESQL = {
    "a column must be given": ["ALTER TABLE job ADD COLUMN more INTEGER NOT NULL"],
    "a column has another type": ["ALTER TABLE worker ALTER COLUMN pid TYPE INTEGER"],
    "a column may be null": ["ALTER TABLE worker ALTER COLUMN host DROP NOT NULL"],
    "a column may no longer be null": ["ALTER TABLE job ALTER COLUMN key SET NOT NULL"],
    "a default is dropped": ["ALTER TABLE job ALTER COLUMN tries DROP DEFAULT"],
    "a constraint is dropped": ["ALTER TABLE job DROP CONSTRAINT job_state_check"],
    "a column is checked": ["ALTER TABLE job ADD CONSTRAINT low CHECK (priority < 10)"],
    "a column refers to a table": [
        "ALTER TABLE job ADD CONSTRAINT known FOREIGN KEY (queue) REFERENCES queue (name)"
    ],
    "a trigger may refuse a row": [
        "CREATE TRIGGER late BEFORE INSERT ON queue FOR EACH ROW "
        "EXECUTE FUNCTION fornada_refuse('late')"
    ],
    "a trigger is dropped": ["DROP TRIGGER job_uid ON job"],
    "a function is changed": [
        "CREATE OR REPLACE FUNCTION fornada_shared_login() RETURNS boolean "
        "LANGUAGE sql STABLE AS $$ SELECT false $$"
    ],
    "an expression is unique": ["CREATE UNIQUE INDEX job_one_name ON job (lower(name))"],
    "rows are hidden": ["ALTER TABLE job ENABLE ROW LEVEL SECURITY"],
}


@pytest.mark.parametrize("statements", ADDITIONS.values(), ids=ADDITIONS)
def test_an_addition_breaks_nothing(database: Database, statements: list[str]) -> None:
    assert judged(database, statements) == []


@pytest.mark.parametrize("statements", CHANGES.values(), ids=CHANGES)
def test_another_change_is_found(database: Database, statements: list[str]) -> None:
    assert judged(database, statements) != []


@pytest.mark.parametrize("statements", ON_SQLITE.values(), ids=ON_SQLITE)
def test_another_change_of_a_file_is_found(sqlite_database_url: str, statements: list[str]) -> None:
    database = Database(sqlite_database_url)
    assert judged(database, statements) != []
    database.dispose()


@pytest.mark.parametrize("statements", ON_POSTGRESQL.values(), ids=ON_POSTGRESQL)
def test_another_change_of_a_server_is_found(
    postgres_database_url: str, statements: list[str]
) -> None:
    database = Database(postgres_database_url)
    assert judged(database, statements) != []
    database.dispose()
