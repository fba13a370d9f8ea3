"""Fixtures of every kind of test: private servers, and a fresh database of each kind."""

import gc
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    import psycopg

    from fornada.db.store.session import Database

pytest_plugins = ["tests.cost"]

NAME = "fornada_test"

# SQLAlchemy is imported inside the fixtures: most unit tests do without.

# Tests send these to commands and workers. A shell starts what runs in the background with Ctrl-C
# ignored, and nohup what outlives a terminal with its end ignored; a child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Walk less often through what stays: Keras and TensorFlow alone are a million objects.

    Tests that build models spent an eighth of their time on it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A private PostgreSQL for the whole session."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """SQLAlchemy URL of the session's PostgreSQL, at its empty database `postgres`."""
    return postgres_server.url("postgres")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private redis-server for the whole session, on a Unix socket, with a password."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """The process that commands were forked from, if there were any, ends with the session."""
    yield
    if forked := sys.modules.get("tests.acceptance.forked"):
        forked.FORKS.close()


@pytest.fixture(scope="session")
def _postgres_database(postgres_server: PostgresServer) -> str:
    """Name of a database that is migrated once and emptied after each test.

    A clone of a template for each test costs half a second: a thousand files.
    """
    from fornada.db import migrations
    from fornada.db.store.session import Database

    postgres_server.execute(f"CREATE DATABASE {NAME}")
    empty = Database(postgres_server.url(NAME))
    migrations.upgrade(empty)
    empty.dispose()
    return NAME


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrated once; copied for each test."""
    from fornada.db import migrations
    from fornada.db.store.session import Database

    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    template = Database(f"sqlite:///{file}")
    migrations.upgrade(template)
    template.dispose()
    return file


@pytest.fixture(scope="session")
def _emptied_by(
    postgres_server: PostgresServer, _postgres_database: str
) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    """A connection to it that lasts: each new one costs a process and a proof of the password."""
    with postgres_server.connect(_postgres_database) as connection:
        yield connection


@pytest.fixture
def postgres_database_url(
    postgres_server: PostgresServer,
    _postgres_database: str,
    _emptied_by: "psycopg.Connection[tuple[object, ...]]",
) -> Iterator[str]:
    """URL of a migrated PostgreSQL database that is empty when the test begins."""
    from fornada.db.store.tables import METADATA

    yield postgres_server.url(_postgres_database)
    # Whatever the test left open would hold its locks against the next one.
    _emptied_by.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    # The row of `fleet` is part of the schema.
    emptied = ", ".join(name for name in METADATA.tables if name != "fleet")
    _emptied_by.execute(f"TRUNCATE {emptied} RESTART IDENTITY".encode())


@pytest.fixture
def sqlite_database_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a migrated SQLite file of the test's own."""
    file = tmp_path / "fornada.db"
    shutil.copyfile(_sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a migrated database of the test's own, of each kind in turn."""
    url = request.getfixturevalue(f"{request.param}_database_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator["Database"]:
    """A migrated database of the test's own, of each kind in turn."""
    from fornada.db.store.session import Database

    opened = Database(database_url)
    yield opened
    opened.dispose()
