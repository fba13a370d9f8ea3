"""Databases without any table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fornada.db.store.session import Database
from tests.servers import PostgresServer

NAME = "migrated"


@pytest.fixture
def postgres_empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a PostgreSQL database without any table."""
    postgres_server.execute(f"CREATE DATABASE {NAME}")
    yield postgres_server.url(NAME)
    postgres_server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without any table, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/fornada.db"
    found = request.getfixturevalue("postgres_empty_url")
    assert isinstance(found, str)
    return found


@pytest.fixture
def empty(url: str) -> Iterator[Database]:
    """A database without any table, of each kind in turn."""
    database = Database(url)
    yield database
    database.dispose()
