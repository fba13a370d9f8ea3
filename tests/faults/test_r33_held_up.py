"""R33: a client's login, used by hand, holds workers up for a bounded time only."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest

from tests.faults.house import NAME, House
from tests.servers import DEPLOY, PostgresServer, newest_postgres_bin
from tests.worker_process import WorkerProcess

# A person's own login, as docs/operations.md says how to make it.
PERSON = "ana"
LIMIT = 10
# Three people who take all that they may would take the last one, too.
MOST = 60
RESERVED = MOST - 3 * LIMIT


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    # `reserved_connections` needs version 16.
    server = PostgresServer(
        newest_postgres_bin(), max_connections=MOST, reserved_connections=RESERVED
    )
    with House(server) as made:
        for login in (PERSON, "bob", "cleo"):
            made.postgres.run_script("add_login.sql", NAME, login=login)
            made.postgres.execute(f"ALTER ROLE {login} PASSWORD 'x'")
        yield made


@pytest.fixture(scope="module")
def worker(house: House) -> Iterator[WorkerProcess]:
    with house.site.worker("--slots", "2") as running:
        yield running


def enter(house: House, login: str = PERSON) -> "psycopg.Connection[Any]":
    """A connection of a person's."""
    return psycopg.connect(
        host=str(house.postgres.folder), user=login, password="x", dbname=NAME, autocommit=True
    )


def enter_often(house: House, login: str, times: int, held: ExitStack) -> int:
    """Try so many connections, and keep them; how many the server gave."""
    given = 0
    for _ in range(times):
        # "too many connections for role", or "remaining connection slots are reserved".
        with suppress(psycopg.OperationalError):
            held.enter_context(enter(house, login))
            given += 1
    return given


def test_r33_a_login_gets_as_many_connections_as_its_limit(house: House) -> None:
    with ExitStack() as held:
        given = enter_often(house, PERSON, 100, held)
        print(f"R33: {given} of 100 connections given to one login")
        assert given == LIMIT
        job_id = house.submit("fine", held=True)
    house.client.cancel(job_id)


def test_r33_workers_get_in_when_clients_have_taken_all_other_connections(
    house: House, worker: WorkerProcess
) -> None:
    with ExitStack() as held:
        given = {login: enter_often(house, login, 100, held) for login in (PERSON, "bob", "cleo")}
        print(f"R33: {given} connections given to three logins")
        assert sum(given.values()) < 3 * LIMIT
        with pytest.raises(psycopg.OperationalError):
            house.connect("client")
        # A worker that starts now opens all its connections now.
        with house.site.worker("--slots", "1"):
            running = [house.site.add("wait-3") for _ in range(3)]
            assert [house.site.wait(job)["state"] for job in running] == ["succeeded"] * 3


def test_r33_logins_without_a_limit_are_named_at_each_upgrade(house: House) -> None:
    house.postgres.execute("CREATE ROLE dan LOGIN IN ROLE fornada_client")
    heard: list[str] = []
    with house.connect("owner") as owner:
        owner.add_notice_handler(lambda found: heard.append(found.message_primary or ""))
        owner.execute((DEPLOY / "postgres" / "grants.sql").read_bytes())
    house.postgres.execute("DROP ROLE dan")
    assert len(heard) == 1
    assert "dan" in heard[0]


def test_r33_the_scripts_run_again_and_keep_limits(house: House) -> None:
    house.postgres.execute("ALTER ROLE fornada_client CONNECTION LIMIT 35")
    house.postgres.run_script("roles.sql", NAME)
    house.postgres.run_script("add_login.sql", NAME, login="Éva's", connections=3)
    with house.postgres.connect(NAME) as connection:
        found = connection.execute(
            "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('fornada_client', %s)",
            ["Éva's"],
        ).fetchall()
    house.postgres.execute("""DROP ROLE "Éva's" """)
    assert sorted(found) == [("fornada_client", 35), ("Éva's", 3)]
