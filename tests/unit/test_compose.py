"""What docker-compose.yml promises of its workers is what the pages and the settings say."""

import re
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


def test_the_client_and_the_migrations_are_always_of_one_version(services: dict[str, Any]) -> None:
    # `up --build` builds what it starts, and the cli is not among it.
    assert services["cli"]["image"] == services["migrate"]["image"]
    assert services["migrate"]["build"]["target"] == "client"
    images = [services[name]["image"] for name in ("cli", *WORKERS)]
    assert len(set(images)) == len(images)
    # Another stack on the same engine must not get this one's images.
    assert all("${COMPOSE_PROJECT_NAME" in image for image in images)


def test_a_command_starts_and_builds_nothing_else(services: dict[str, Any]) -> None:
    # A build would write on stdout before the ids. `run` starts what the cli depends on anew if its
    # environment has changed, PostgreSQL too.
    assert services["cli"].keys().isdisjoint({"build", "depends_on"})
    assert services["cli"]["pull_policy"] == "never"


def test_no_log_grows_for_ever(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name


def test_every_service_that_stays_has_a_limit_of_memory(services: dict[str, Any]) -> None:
    lasting = {name for name, service in services.items() if "restart" in service}
    assert lasting == {"redis", "postgres", *WORKERS}
    assert all("mem_limit" in services[name] for name in lasting)


def test_every_variable_is_explained_in_the_example() -> None:
    compose = (PROJECT / "docker-compose.yml").read_text()
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", compose)) - {"COMPOSE_PROJECT_NAME"}
    example = (PROJECT / ".env.example").read_text()
    explained = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert used == explained.keys()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", compose))
    assert {name: explained[name] for name in used & defaults.keys()} == {
        name: defaults[name] for name in used & defaults.keys()
    }


def test_every_procedure_of_the_page_is_run() -> None:
    page = (PROJECT / "docs" / "operations.md").read_text()
    section = page.partition("\n## Procedures\n")[2].partition("\n## ")[0]
    titles = re.findall(r"^### (.+)$", section, re.MULTILINE)
    script = (PROJECT / "tests" / "compose" / "run.sh").read_text()
    # The script takes the commands from the page, by the title.
    run = re.findall(r'^ *procedure "([^"]+)"', script, re.MULTILINE)
    assert set(run) == set(titles)
    assert len(titles) == 8
    for title in titles:
        assert re.search(rf"^### {title}\n(?:(?!#).*\n)*?    \S", section, re.MULTILINE), title
    # A procedure that is run in parts is run as a whole.
    parts = set(re.findall(r'^ *procedure "Rotate a password" (\w+)$', script, re.MULTILINE))
    commands = re.findall(r"^    (?:sh deploy/rotate\.sh (\w+)|.*) ", section, re.MULTILINE)
    assert parts == {step for step in commands if step}
