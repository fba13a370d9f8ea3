"""Passwords are rotated while jobs run: nothing is lost, and the old ones end."""

from collections.abc import Iterator

import psycopg
import pytest
import redis

from tests.faults.house import NAME, House
from tests.until import until


@pytest.fixture
def house() -> Iterator[House]:
    with House() as made:
        yield made


def test_a_worker_gets_a_new_password_while_its_job_runs(house: House) -> None:
    with house.site.worker("--slots", "1", "--name", "before") as before:
        job = house.submit("wait")
        until(lambda: house.site.show(job)["epochs_run"] > 0, 30)
        password = house.postgres.set_password(NAME, "fornada_worker", "fornada_worker_b")
        url = house.postgres.url(NAME, "fornada_worker_b", password)

        # The old password still works, for connections that are opened now too.
        house.connect("worker").close()
        between = house.submit("fine")
        with house.site.worker("--slots", "1", "--name", "after", FORNADA_DATABASE_URL=url):
            assert house.site.wait(between)["state"] == "succeeded"
            assert before.stop() == 0
            until(lambda: house.site.training(job, 2), 30, saw=lambda: house.site.show(job))

            house.postgres.execute("ALTER ROLE fornada_worker PASSWORD NULL")

            with pytest.raises(psycopg.OperationalError, match="authentication"):
                house.connect("worker")
            last = house.submit("fine")
            house.client.cancel(job)
            assert house.site.wait(job)["state"] == "cancelled"
            assert house.site.wait(last)["state"] == "succeeded"
    # Events of a worker have the worker's name, whatever its login.
    assert {event["actor"] for event in house.client.events(last)[1:]} == {"after"}


def test_both_logins_of_the_clients_are_shared(house: House) -> None:
    password = house.postgres.set_password(NAME, "fornada_client", "fornada_client_b")
    second = house.fornada.with_settings(
        FORNADA_DATABASE_URL=house.postgres.url(NAME, "fornada_client_b", password)
    )

    jobs = [
        int(fornada("submit", "-q", "--hold", "specs/digits.yaml").stdout)
        for fornada in (house.fornada, second)
    ]

    users = [house.site.show(job)["user"] for job in jobs]
    assert users[0] == users[1] != "fornada_client_b"


def test_a_login_of_a_person_has_its_limit_and_its_name(house: House) -> None:
    password = house.postgres.set_password(NAME, "fornada_client", "ana", connections=2)
    ana = house.fornada.with_settings(
        FORNADA_DATABASE_URL=house.postgres.url(NAME, "ana", password)
    )

    job = int(ana("submit", "-q", "--hold", "specs/digits.yaml").stdout)

    assert house.site.show(job)["user"] == "ana"
    with house.postgres.connect(NAME) as connection:
        limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'ana'")
        assert limit.fetchone() == (2,)


def test_the_password_of_a_login_is_in_no_log_of_postgresql(house: House) -> None:
    house.postgres.execute("ALTER SYSTEM SET log_statement = 'all'")
    house.postgres.execute("SELECT pg_reload_conf()")
    password = house.postgres.set_password(NAME, "fornada_client", "ana")
    house.postgres.execute("SELECT 'after it'")
    log = house.postgres.folder / "log"
    until(lambda: "SELECT 'after it'" in log.read_text(), 10)
    assert password not in log.read_text()


@pytest.mark.parametrize("user", ["client", "worker"])
def test_redis_takes_two_passwords_during_a_rotation(house: House, user: str) -> None:
    server = house.redis
    old = server.passwords[user]
    server.stop()
    server.old_passwords[user], server.passwords[user] = old, "new"
    server.start()
    for password in (old, "new"):
        with redis.Redis(
            unix_socket_path=str(server.socket), username=f"fornada-{user}", password=password
        ) as client:
            assert client.llen("fornada:default") == 0

    server.stop()
    server.old_passwords.clear()
    server.start()
    with (
        redis.Redis(
            unix_socket_path=str(server.socket), username=f"fornada-{user}", password=old
        ) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
