"""What docker-compose.yml promises of its workers is what the pages and the settings say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fornada.settings import Settings

PROJECT = Path(__file__).parents[2]
WORKERS = ("worker", "worker-gpu")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    return found


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_comes_back_after_a_crash_a_drain_and_a_reboot(
    services: dict[str, Any], name: str
) -> None:
    # Docker's `on-failure` leaves down what a reboot has ended with 0.
    assert services[name]["restart"] == "unless-stopped"
    page = (PROJECT / "docs" / "operations.md").read_text()
    assert f"| compose, `restart: {services[name]['restart']}` |" in page
    assert "`docker compose stop worker`" in page


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_time_to_drain(
    services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORNADA_HOME", str(tmp_path))
    seconds = int(services[name]["stop_grace_period"].removesuffix("s"))
    assert seconds >= Settings().grace_s + 15


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_asked_whether_it_is_well(services: dict[str, Any], name: str) -> None:
    assert services[name]["healthcheck"]["test"] == ["CMD", "fornada-worker", "--check"]
