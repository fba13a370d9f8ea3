"""Fixtures: a private home, and an embedded stack that a module shares."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fleet import Fleet, command_of
from tests.acceptance.installed import REPOSITORY, Fornada, end
from tests.acceptance.wheels import build
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site

# Seconds after the end of a stack within which everything it started is gone.
GONE_S = 5.0


@pytest.fixture
def fornada(tmp_path: Path) -> Iterator[Fornada]:
    """The command with a home of the test's own; nothing of it may be left at the end."""
    one = Fornada(tmp_path / "home")
    yield one
    try:
        until(lambda: not one.processes(), GONE_S, saw=one.processes)
    finally:
        one.kill()


@pytest.fixture(scope="module")
def stack() -> Iterator[Fornada]:
    """The command with a stack that is up, shared by the tests of a module."""
    folder = Path(tempfile.mkdtemp(prefix="fornada-", dir="/tmp"))
    # With the usual beats: one that misses three is not there, and a worker that shares its cores
    # with other tests is heard of late.
    one = Fornada(folder / "home")
    process = one.up("--slots", "1")
    yield one
    ended = end(process, signal.SIGTERM)
    assert ended.code == 0, ended
    until(lambda: not one.processes(), GONE_S, saw=one.processes)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def fleet(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Fleet]:
    """A server's stack with one worker of two slots and stub trainers, shared by a module."""
    redis_server.client().flushall()
    with Site.on(postgres_server, redis_server.url) as site:
        site.queue = "default"
        with site.worker("--slots", "2", "--queues", "default,night", "--name", "oven"):
            yield Fleet(site, command_of(site))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build(REPOSITORY, "wheel", tmp_path_factory.mktemp("wheel"))
