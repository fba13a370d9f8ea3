"""`fornada db upgrade`: it says what it will do, and gives up when others hold what it changes."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from fornada.db import migrations
from fornada.db.store.session import Database
from fornada.settings import Settings
from tests.acceptance.installed import Fornada
from tests.servers import PostgresServer

NAME = "old_for_the_command"
# The process that holds the locks of the tests.
OURS = os.getpid()


@pytest.fixture
def server(fornada: Fornada, postgres_server: PostgresServer) -> Iterator[Fornada]:
    """The command for a server whose database has an old schema."""
    postgres_server.execute(f"CREATE DATABASE {NAME}")
    database = Database(postgres_server.url(NAME))
    migrations.upgrade(database, "0001")
    database.dispose()
    yield fornada.with_settings(
        FORNADA_DATABASE_URL=postgres_server.url(NAME),
        FORNADA_BROKER_URL="redis://127.0.0.1:1/0",
        FORNADA_DATA_ROOT="/",
    )
    postgres_server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


@pytest.fixture
def embedded(fornada: Fornada) -> Fornada:
    """The command for a home whose database has an old schema."""
    fornada.home.mkdir()
    database = Database(Settings(home=fornada.home).sql_url)
    migrations.upgrade(database, "0001")
    database.dispose()
    return fornada


def test_a_dry_run_says_what_an_upgrade_would_do_and_does_nothing(server: Fornada) -> None:
    planned = server("db", "upgrade", "--dry-run", "--json").document
    assert (planned["before"], planned["after"]) == ("0001", migrations.HEAD)
    assert [each["revision"] for each in planned["revisions"]] == [*migrations.REVISIONS[1:]]
    assert planned["locks"]["job"] == "all"
    third = planned["revisions"][1]
    assert (third["revision"], third["locks"]) == ("0003", {"job": "writes", "upkeep": "all"})
    assert (planned["dry_run"], planned["others_may_run"]) == (True, False)
    assert (planned["jobs"], planned["seconds"], planned["holders"]) == (0, 0, [])
    said = server("db", "upgrade", "--dry-run").stdout
    assert all(revision in said for revision in migrations.REVISIONS[1:])
    assert server("db", "current", "--json", code=6).document["current"] == "0001"

    done = server("db", "upgrade", "--json").document
    assert done == planned | {"dry_run": False}
    again = server("db", "upgrade", "--dry-run", "--json").document
    assert (again["revisions"], again["others_may_run"]) == ([], True)
    assert server("db", "current", "--json").document["fits"]


def test_a_session_that_holds_a_table_is_named_and_the_schema_stays(
    server: Fornada, postgres_server: PostgresServer
) -> None:
    with postgres_server.connect(NAME) as other, other.transaction():
        other.execute("SET application_name = 'notebook'")
        other.execute("SELECT FROM job")
        pid = other.info.backend_pid
        (holder,) = server("db", "upgrade", "--dry-run", "--json").document["holders"]
        told = server("db", "upgrade", "--wait", "0s", code=5)
    assert holder["pid"] == pid
    assert (holder["login"], holder["application"]) == ("fornada", "notebook")
    assert (holder["tables"], holder["since"][-1]) == (["job"], "Z")
    assert f"pid {pid}" in told.stderr
    assert told.stdout == ""
    assert server("db", "current", "--json", code=6).document["current"] == "0001"
    server("db", "upgrade", "--wait", "0s")


def test_a_process_that_writes_a_file_is_named_and_the_schema_stays(embedded: Fornada) -> None:
    file = embedded.home / "fornada.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (holder,) = embedded("db", "upgrade", "--dry-run", "--json").document["holders"]
        told = embedded("db", "upgrade", "--wait", "1s", code=5)
        other.execute("ROLLBACK")
    assert holder["pid"] == OURS
    assert f"pid {OURS}" in told.stderr
    assert embedded("db", "current", "--json", code=6).document["current"] == "0001"
    assert embedded("db", "upgrade", "--json").document["holders"] == []


def test_a_reader_of_a_file_is_named_when_the_commit_waits_for_it(embedded: Fornada) -> None:
    file = embedded.home / "fornada.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM job").fetchall()
        told = embedded("db", "upgrade", "--wait", "1s", code=5)
        # The readers that come later were kept out only as long as it waited.
        assert embedded("db", "current", "--json", code=6).document["current"] == "0001"
        other.execute("ROLLBACK")
    assert f"pid {OURS}" in told.stderr
    embedded("db", "upgrade")
