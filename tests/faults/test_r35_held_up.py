"""R35: a client's login, used by hand, holds workers up for a bounded time only."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import psycopg
import pytest

from fornada.db.queue import steering
from fornada.db.store.client_sessions import end_long_transactions
from fornada.db.store.session import Database
from tests.faults.house import NAME, House
from tests.servers import DEPLOY, PostgresServer, newest_postgres_bin
from tests.until import until
from tests.worker_process import QUICK, WorkerProcess

# A person's own login, as docs/operations.md says how to make it.
PERSON = "ana"
LIMIT = 10
# Three people who take all that they may would take the last one, too.
MOST = 60
RESERVED = MOST - 3 * LIMIT
# Every timeout that a login may set for itself.
TIMEOUTS = ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
# What docs/operations.md promises, with the settings of the tests: a quarter of the lease, a round
# of upkeep, and five seconds; and some time to train.
BOUND_S = float(QUICK["LEASE_S"]) / 4 + float(QUICK["UPKEEP_S"]) + 5.0 + 2.0


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    # `reserved_connections` needs version 16.
    server = PostgresServer(
        newest_postgres_bin(), max_connections=MOST, reserved_connections=RESERVED
    )
    with House(server) as made:
        for login in (PERSON, "bob", "cleo"):
            made.postgres.run_script("login.sql", NAME, login=login)
            made.postgres.execute(f"ALTER ROLE {login} PASSWORD 'x'")
        yield made


@pytest.fixture(scope="module")
def worker(house: House) -> Iterator[WorkerProcess]:
    with house.site.worker("--slots", "2") as running:
        yield running


def enter(house: House, login: str = PERSON) -> "psycopg.Connection[Any]":
    """A connection of a person's."""
    return house.connect_as(login, "x")


def enter_often(house: House, login: str, times: int, held: ExitStack) -> int:
    """Try so many connections, and keep them; how many the server gave."""
    given = 0
    for _ in range(times):
        # "too many connections for role", or "remaining connection slots are reserved".
        with suppress(psycopg.OperationalError):
            held.enter_context(enter(house, login))
            given += 1
    return given


@contextmanager
def holding(house: House, *statements: str, active: bool) -> "Iterator[psycopg.Connection[Any]]":
    """A person's open transaction, without any timeout; idle, or in a statement that goes on."""
    # Not psycopg's own context, which would commit.
    with closing(enter(house)) as connection:
        for timeout in TIMEOUTS:
            connection.execute(f"SET {timeout} = 0".encode())
        for statement in ("BEGIN", *statements):
            connection.execute(statement.encode())
        if active:
            connection.pgconn.send_query(b"SELECT pg_sleep(600)")
        yield connection
        with suppress(psycopg.OperationalError):
            connection.cancel_safe()


def ended(connection: "psycopg.Connection[Any]") -> bool:
    """Whether the server has ended a session."""
    with suppress(psycopg.OperationalError):
        connection.pgconn.consume_input()
    return connection.pgconn.status != psycopg.pq.ConnStatus.OK


def end_long(house: House, longest_s: float) -> list[str]:
    """End long transactions as a worker does; whose sessions were ended."""
    with house.connect("worker") as connection:
        ask = "SELECT login FROM fornada_end_long_transactions(%s)"
        return [str(login) for (login,) in connection.execute(ask, [longest_s])]


def test_r35_a_worker_starts_under_a_name_whose_row_is_locked(house: House) -> None:
    with house.site.worker("--slots", "1", "--name", "again"):
        pass
    with (
        holding(house, "SELECT FROM worker FOR UPDATE", active=False),
        house.site.worker("--slots", "1", "--name", "again") as again,
    ):
        assert f"ended a session of {PERSON} " in again.text()


@pytest.mark.parametrize("active", [False, True], ids=["idle", "active"])
def test_r35_rows_that_are_kept_locked_are_free_again_in_time(
    house: House, worker: WorkerProcess, active: bool
) -> None:
    running = house.site.in_epoch(1, "wait")
    house.client.pause_queue(house.site.queue)
    waiting = house.submit("fine")
    locks = ("SELECT FROM job FOR UPDATE", "SELECT FROM worker FOR UPDATE")
    with holding(house, *locks, active=active) as held:
        began = time.monotonic()
        house.client.resume_queue(house.site.queue)
        before = house.site.show(running)["epochs_run"]
        assert house.site.wait(waiting, timeout_s=BOUND_S)["state"] == "succeeded"
        print(f"R35: claimed and trained {time.monotonic() - began:.1f} s after the lock")
        until(lambda: house.site.show(running)["epochs_run"] > before, BOUND_S)
        until(lambda: ended(held), 5)
    assert [house.site.show(job)["attempts"] for job in (running, waiting)] == [1, 1]
    assert f"ended a session of {PERSON} " in worker.text()
    house.client.cancel(running)
    assert house.site.wait(running)["state"] == "cancelled"


@pytest.mark.parametrize("table", ["job", "queue", "event", "worker"])
def test_r35_no_lock_of_a_table_stops_claims(
    house: House, worker: WorkerProcess, table: str
) -> None:
    with enter(house) as connection:
        for mode in ("SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
    # What is left to it excludes nobody.
    with holding(house, "LOCK TABLE event IN ROW EXCLUSIVE MODE", active=True) as held:
        assert house.site.wait(house.site.add("fine"))["state"] == "succeeded"
        assert not ended(held)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE RULE mine AS ON INSERT TO event DO INSTEAD NOTHING",
        "CREATE TRIGGER mine BEFORE INSERT ON event EXECUTE FUNCTION fornada_refuse('x')",
    ],
)
def test_r35_no_change_of_the_schema_waits_for_a_table(house: House, statement: str) -> None:
    with (
        holding(house, "LOCK TABLE event IN ROW EXCLUSIVE MODE", active=True),
        enter(house, "bob") as connection,
    ):
        # It would wait, and claims behind it.
        connection.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_r35_nobody_takes_over_a_shared_login(house: House) -> None:
    house.postgres.execute("CREATE ROLE eve LOGIN PASSWORD 'x' IN ROLE fornada_client")
    # It finds the logins of an earlier version.
    house.postgres.run_script("roles.sql", NAME)
    for login in (PERSON, "eve"):
        with enter(house, login) as connection:
            for statement in (
                "SET ROLE fornada_client",
                "ALTER ROLE fornada_client PASSWORD 'mine'",
                "ALTER ROLE fornada_client SET statement_timeout = 1",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
            assert connection.execute("SELECT count(*) >= 0 FROM job").fetchone() == (True,)
    house.postgres.execute("DROP ROLE eve")


def test_r35_a_person_steers_jobs_without_set_role(house: House) -> None:
    database = Database(house.postgres.url(NAME, PERSON, "x"))
    needed = house.submit("fine", held=True)
    waits = house.submit("fine", after=[needed])
    steering.move(database, needed, PERSON, priority=3)
    steering.cancel(database, needed, PERSON)
    assert house.site.show(waits)["state"] == "cancelled"
    assert steering.retry(database, waits, PERSON) == "queued"
    assert steering.hold(database, waits, PERSON) == "held"
    steering.cancel(database, waits, PERSON)
    database.dispose()


@pytest.mark.parametrize("name", ["postgres", "template1"])
def test_r35_no_client_gets_into_another_database(house: House, name: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="CONNECT"):
        house.connect_as(PERSON, "x", name)


def test_r35_only_transactions_of_clients_that_lock_or_idle_are_ended(house: House) -> None:
    with ExitStack() as open_now:
        for who in ("owner", "worker"):
            connection = open_now.enter_context(house.connect(who))
            connection.execute("BEGIN")
            connection.execute("SELECT FROM worker FOR UPDATE SKIP LOCKED")
        reads = open_now.enter_context(holding(house, "SELECT FROM job", active=True))
        assert end_long(house, 0.0) == []
        assert not ended(reads)
        locks = open_now.enter_context(holding(house, "SELECT FROM job FOR SHARE", active=True))
        idles = open_now.enter_context(holding(house, "SELECT FROM job", active=False))
        assert end_long(house, 60.0) == []
        assert end_long(house, 0.0) == [PERSON, PERSON]
        until(lambda: ended(locks) and ended(idles), 10)
        assert not ended(reads)


def test_r35_no_client_ends_sessions(house: House) -> None:
    with enter(house) as connection:
        for statement in (
            "SELECT * FROM fornada_end_long_transactions(0)",
            "SET ROLE fornada_guard",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'fornada_worker'",
        ):
            with house.connect("worker"), pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_r35_a_login_gets_as_many_connections_as_its_limit(house: House) -> None:
    with ExitStack() as held:
        given = enter_often(house, PERSON, 100, held)
        print(f"R35: {given} of 100 connections given to one login")
        assert given == LIMIT
        job_id = house.submit("fine", held=True)
    house.client.cancel(job_id)


def test_r35_workers_get_in_when_clients_have_taken_all_other_connections(
    house: House, worker: WorkerProcess
) -> None:
    with ExitStack() as held:
        given = {login: enter_often(house, login, 100, held) for login in (PERSON, "bob", "cleo")}
        print(f"R35: {given} connections given to three logins")
        assert sum(given.values()) < 3 * LIMIT
        with pytest.raises(psycopg.OperationalError):
            house.connect("client")
        # A worker that starts now opens all its connections now.
        with house.site.worker("--slots", "1"):
            running = [house.site.add("wait-3") for _ in range(3)]
            assert [house.site.wait(job)["state"] for job in running] == ["succeeded"] * 3


def warnings_of_grants(house: House) -> list[str]:
    """What `grants.sql` warns of."""
    heard: list[str] = []
    with house.connect("owner") as owner:
        owner.add_notice_handler(lambda found: heard.append(found.message_primary or ""))
        owner.execute((DEPLOY / "postgres" / "grants.sql").read_bytes())
    return heard


def test_r35_logins_without_a_limit_are_named_at_each_upgrade(house: House) -> None:
    house.postgres.execute("CREATE ROLE dan LOGIN IN ROLE fornada_client")
    heard = warnings_of_grants(house)
    house.postgres.execute("DROP ROLE dan")
    assert len(heard) == 1
    assert "dan" in heard[0]
    assert warnings_of_grants(house) == []


def test_r35_roles_of_an_earlier_version_are_named_at_each_upgrade(house: House) -> None:
    house.postgres.execute("DROP FUNCTION fornada_end_long_transactions", NAME)
    heard = warnings_of_grants(house)
    # A worker goes on without it.
    assert end_long_transactions(house.site.database, 0.0) == []
    house.postgres.run_script("roles.sql", NAME)
    assert len(heard) == 1
    assert "roles.sql" in heard[0]
    assert end_long(house, 60.0) == []


def test_r35_the_scripts_run_again_and_keep_limits(house: House) -> None:
    house.postgres.execute("ALTER ROLE fornada_client CONNECTION LIMIT 35")
    house.postgres.run_script("roles.sql", NAME)
    house.postgres.run_script("login.sql", NAME, login="Éva's", connections=3)
    with house.postgres.connect(NAME) as connection:
        found = connection.execute(
            "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('fornada_client', %s)",
            ["Éva's"],
        ).fetchall()
    house.postgres.execute("""DROP ROLE "Éva's" """)
    assert sorted(found) == [("fornada_client", 35), ("Éva's", 3)]
