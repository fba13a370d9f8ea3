"""Servers that fault tests may stop and kill, and a site on them."""

from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer, RedisServer
from tests.worker_process import Site


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis that the tests may stop."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the tests may stop."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def site(database_url: str, redis: RedisServer) -> Iterator[Site]:
    """On each database in turn, with that Redis."""
    with Site(database_url, redis.url) as made:
        yield made
