"""A server's life: PostgreSQL, Redis, and workers that come and go."""

from pathlib import Path

import pytest

from tests.acceptance.installed import PATIENCE_S, REPOSITORY, Fornada
from tests.acceptance.specs import small
from tests.servers import RedisServer


@pytest.fixture
def server(
    fornada: Fornada, postgres_database_url: str, redis_server: RedisServer, tmp_path: Path
) -> Fornada:
    """The command for a server that is up, without a worker."""
    redis_server.client().flushall()
    return fornada.with_settings(
        FORNADA_DATABASE_URL=postgres_database_url,
        FORNADA_BROKER_URL=redis_server.url,
        FORNADA_DATA_ROOT=str(REPOSITORY),
        FORNADA_ARTIFACTS=str(tmp_path / "artifacts"),
    )


def test_a_worker_comes_trains_and_goes(server: Fornada, tmp_path: Path) -> None:
    assert "no worker is running" in server("doctor", code=14).stdout
    job = server("submit", "-q", small(tmp_path)).stdout.strip()
    worker = server.start("worker", "start", "--slots", "1", "--name", "oven")
    document = server("wait", "--json", job).document
    assert document["state"] == "succeeded"
    assert document["worker"]["name"] == "oven"
    assert document["spec"]["data"]["train"] == str(REPOSITORY / "Data" / "Train")
    assert Path(document["best"]["path"]).is_relative_to(tmp_path / "artifacts")
    assert "epoch 2/2" in server("logs", job).stdout
    assert server("doctor", "-q").stdout == ""
    assert server("worker", "ls", "-q").stdout == "oven\n"
    assert server("worker", "drain", "oven", "--wait").stdout == "worker oven: asked to drain\n"
    worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0
    assert server("worker", "ls").stdout == ""


def test_data_outside_the_root_are_refused(server: Fornada, tmp_path: Path) -> None:
    done = server("submit", small(tmp_path, train="/etc"), code=3)
    assert "/etc lies outside the data root" in done.stderr


def test_a_worker_needs_a_stack_and_a_root(fornada: Fornada, server: Fornada) -> None:
    assert "fornada up" in fornada("worker", "start", code=5).stderr
    rootless = Fornada(
        server.home, {key: value for key, value in server.settings.items() if "ROOT" not in key}
    )
    assert "FORNADA_DATA_ROOT" in rootless("worker", "start", code=2).stderr
    assert "FORNADA_DATA_ROOT" in rootless("submit", "specs/digits.yaml", code=2).stderr
