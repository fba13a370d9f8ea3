"""What is told, and with which code, when a part of the stack is away."""

import time
from pathlib import Path

import pytest

from fornada.db import migrations
from fornada.db.store.session import Database
from fornada.settings import Settings
from tests.acceptance.installed import Fornada
from tests.acceptance.specs import small
from tests.servers import PostgresServer

# Port 9, discard, has no server on any machine that runs tests.
NOWHERE = "postgresql://ana:s3cret@127.0.0.1:9/fornada"
NO_BROKER = "redis://:s3cret@127.0.0.1:9/0"


@pytest.fixture
def server(fornada: Fornada) -> Fornada:
    """The command for a server that is not there."""
    return fornada.with_settings(
        FORNADA_DATABASE_URL=NOWHERE, FORNADA_BROKER_URL=NO_BROKER, FORNADA_DATA_ROOT="/"
    )


def test_without_redis_a_job_is_accepted_with_a_warning(fornada: Fornada, tmp_path: Path) -> None:
    begin = time.monotonic()
    done = fornada("submit", "-q", small(tmp_path), small(tmp_path, "second"))
    assert time.monotonic() - begin < 10
    assert done.stdout == "1\n2\n"
    assert done.stderr.count("Warning") == 1
    assert "The job is accepted" in done.stderr
    rows = fornada("ps").stdout.splitlines()
    assert [row.split("\t")[-2] for row in rows] == ["NoWorker", "NoWorker"]
    fornada("cancel", "1-2")


@pytest.mark.parametrize(
    "words",
    [("ls",), ("ps",), ("show", "1"), ("wait", "1"), ("cancel", "1"), ("db", "upgrade"),
     ("db", "current"), ("worker", "ls"), ("submit", "specs/digits.yaml")],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_without_a_database_nothing_is_accepted(server: Fornada, words: tuple[str, ...]) -> None:
    done = server(*words, code=6)
    what, todo = done.stderr.splitlines()
    assert what.endswith("@127.0.0.1:9/fornada does not answer: Connection refused.")
    assert "FORNADA_DATABASE_URL" in todo
    assert "s3cret" not in done.stderr
    assert done.stdout == ""


def test_the_doctor_names_what_is_away(server: Fornada) -> None:
    done = server("doctor", "--json", code=6)
    wrong = {one["what"]: one for one in done.document["findings"] if not one["well"]}
    assert set(wrong) == {"broker", "database"}
    assert all(one["todo"] for one in wrong.values())
    assert wrong["database"]["found"].endswith("does not answer: Connection refused")
    assert "s3cret" not in done.stdout


def test_the_doctor_knows_an_empty_home(fornada: Fornada) -> None:
    # A stack that is not up, and a database that does not exist yet, keep no job from running.
    done = fornada("doctor", "--json")
    assert done.document["well"]
    found = {one["what"]: one for one in done.document["findings"]}
    assert found.keys() == {"settings", "home", "broker", "database", "worker", "disk"}
    assert not any(one["todo"] for one in found.values())
    assert "FORNADA_LEASE" not in done.stdout
    typed = fornada.with_settings(FORNADA_LEASE="5")("doctor")
    assert "FORNADA_LEASE is not a setting" in typed.stdout
    assert not fornada.home.exists()


def test_the_doctor_knows_what_keeps_a_stack_from_starting(
    fornada: Fornada, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    blocked = Fornada(tmp_path / "file" / "home")("doctor", "--json", code=14).document
    assert [one["what"] for one in blocked["findings"] if not one["well"]] == ["home"]
    fornada.home.mkdir()
    (fornada.home / "fornada.db").write_bytes(b"no database" * 100)
    broken = fornada("doctor", "--json", code=6).document
    assert [one["what"] for one in broken["findings"] if not one["well"]] == ["database"]


def test_the_doctor_says_that_run_upgrades_an_old_database(fornada: Fornada) -> None:
    fornada.home.mkdir()
    database = Database(Settings(home=fornada.home).sql_url)
    migrations.upgrade(database, "0002")
    database.dispose()
    found = fornada("doctor", "--json").document["findings"]
    assert "0002" in next(one["found"] for one in found if one["what"] == "database")


def test_half_a_server_is_a_mistake(fornada: Fornada, postgres_database_url: str) -> None:
    half = fornada.with_settings(FORNADA_DATABASE_URL=postgres_database_url, FORNADA_DATA_ROOT="/")
    assert "FORNADA_BROKER_URL is not set" in half("submit", "specs/digits.yaml", code=2).stderr
    whole = half.with_settings(FORNADA_BROKER_URL=NO_BROKER)
    assert "fornada worker start" in whole("up", code=2).stderr


def test_a_schema_of_another_age_is_not_used(
    fornada: Fornada, postgres_server: PostgresServer
) -> None:
    name = "empty_for_the_command"
    postgres_server.execute(f"CREATE DATABASE {name}")
    server = fornada.with_settings(
        FORNADA_DATABASE_URL=postgres_server.url(name),
        FORNADA_BROKER_URL=NO_BROKER,
        FORNADA_DATA_ROOT="/",
    )
    assert "fornada db upgrade" in server("ls", code=6).stderr
    assert "empty" in server("db", "current", code=6).stdout
    assert "upgraded from an empty database" in server("db", "upgrade").stdout
    assert server("db", "check").stdout == "the schema is as expected\n"
    assert server("ls").stdout == ""
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_broker_url_that_cannot_be_read_is_refused_before_a_job_is_queued(
    fornada: Fornada, postgres_database_url: str, tmp_path: Path
) -> None:
    server = fornada.with_settings(
        FORNADA_DATABASE_URL=postgres_database_url,
        FORNADA_BROKER_URL=NO_BROKER,
        FORNADA_DATA_ROOT="/",
    )
    odd = server.with_settings(FORNADA_BROKER_URL="redis://:s3#cr/e@t%@127.0.0.1:9/0")
    for words in (("submit", "-q", small(tmp_path)), ("doctor", "--json"), ("--debug", "ls")):
        done = odd(*words, code=2)
        assert "# as %23" in done.stderr
        assert "s3" not in done.stdout + done.stderr
    assert server("ls").stdout == ""
