"""A site for tests of workers that share one."""

from collections.abc import Iterator

import pytest

from tests.servers import RedisServer
from tests.worker_process import Site


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def site(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """On a migrated database of each kind, for a whole module."""
    if request.param == "postgres":
        made = Site.on(request.getfixturevalue("postgres_server"), redis_server.url)
    else:
        folder = tmp_path_factory.mktemp("sqlite")
        made = Site(f"sqlite:///{folder}/fornada.db", redis_server.url)
    with made as site:
        yield site


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Packs that tests make in this process lie in a home of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORNADA_HOME", str(tmp_path_factory.mktemp("home")))
        yield
