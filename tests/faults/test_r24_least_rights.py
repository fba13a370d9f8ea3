"""R24: users with the least rights live a whole life cycle, and can do nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from redis.exceptions import NoPermissionError, ResponseError

from fornada.db.store.tables import METADATA
from tests.faults.house import NAME, House
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import WorkerProcess

# What a user may send, and what none can be kept from.
ALLOWED = {
    "client": {"lpush", "brpop", "llen", "ping", "select"},
    "worker": {"lpush", "brpop", "llen", "ping", "select"},
}
ALWAYS = {"auth", "hello", "reset", "quit"}
TABLES = sorted([*METADATA.tables, "alembic_version"])
RIGHTS = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
# Beyond SELECT, which each role has on every table; of columns: on some of them.
TABLE_RIGHTS: dict[str, dict[str, set[str]]] = {
    "client": {
        "job_tag": {"INSERT"},
        # DELETE for clients of 0.3.0, until the next version.
        "dependency": {"INSERT", "DELETE"},
        "event": {"INSERT"},
        "queue": {"INSERT"},
    },
    "worker": {
        "job": {"INSERT", "UPDATE"},
        "job_tag": {"INSERT"},
        "dependency": {"INSERT"},
        "attempt": {"INSERT", "UPDATE"},
        "epoch": {"INSERT", "UPDATE", "DELETE"},
        "metric_summary": {"INSERT", "UPDATE", "DELETE"},
        "artifact": {"INSERT", "UPDATE", "DELETE"},
        "event": {"INSERT"},
        "dataset": {"INSERT"},
        "log_chunk": {"INSERT", "DELETE"},
        "worker": {"INSERT", "UPDATE"},
        "upkeep": {"INSERT", "UPDATE"},
    },
    "reader": {},
}
# Columns of results: no client may write one.
RESULTS = (
    "best_value",
    "best_epoch",
    "best_uri",
    "best_bytes",
    "best_sha256",
    "test",
    "epochs_run",
    "parameters",
    "data",
    "data_fingerprint",
    "lease_until",
    "attempt",
    "spec",
    "spec_hash",
    "uid",
    "name",
    "user",
    "seed",
    "submitted_at",
)
# Modes of LOCK TABLE that keep others from writing to the table, or from changing it.
STRONG_LOCKS = (
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
# What would be more than reading and writing rows.
BEYOND = (
    "DELETE FROM job",
    "TRUNCATE job",
    "DROP TABLE job",
    "ALTER TABLE job ADD COLUMN x text",
    "CREATE TABLE x (y text)",
    "CREATE SCHEMA x",
    "CREATE EXTENSION file_fdw",
    "CREATE ROLE x",
    "ALTER ROLE fornada_owner PASSWORD 'x'",
    "SET ROLE fornada_owner",
    "COPY job TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT lo_import('/etc/passwd')",
    "UPDATE alembic_version SET version_num = 'x'",
    "DELETE FROM event",
    "UPDATE event SET actor = 'x'",
    "CREATE TEMPORARY TABLE x (y text)",
    "SELECT lo_create(0)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as made:
        yield made


@pytest.fixture(scope="module")
def worker(house: House) -> Iterator[WorkerProcess]:
    with house.site.worker("--slots", "2") as running:
        yield running


def test_r24_a_whole_life_cycle_passes(house: House, worker: WorkerProcess) -> None:
    client, site = house.client, house.site

    # Submit, claim, train, verdict; history and logs as a client reads them.
    first = house.submit("wait-3", tags={"owner": "ana"})
    assert client.wait(first)["state"] == "succeeded"
    for words in (("logs", first), ("ls",), ("db", "check"), ("doctor",)):
        done = house.fornada(*words)
        print(f"R24: fornada {words[0]}: {done.stdout.splitlines()[:1]}")
    assert [epoch["epoch"] for epoch in client.metrics(first)["epochs"]] == [1, 2, 3]
    assert client.jobs(tags={"owner": "ana"}).rows
    assert client.events(first)
    assert client.workers()
    assert client.queues()
    again = house.submit("wait-3", key="k")
    assert house.submit("wait-3", key="k") == again

    # Steer what waits.
    held = house.submit("fine", held=True)
    client.move(held, priority=7)
    client.move(held, top=True)
    client.release(held)
    later = house.submit("fine", not_before=datetime.now(UTC) + timedelta(hours=2))
    client.hold(later)
    client.cancel(later)
    needy = house.submit("fine", after=[first])
    client.pause_queue(site.queue)
    client.set_max_running(site.queue, 2)
    client.resume_queue(site.queue)
    ended = [site.wait(job)["state"] for job in (held, later, needy)]
    assert ended == ["succeeded", "cancelled", "succeeded"]

    # End what runs, and begin again; who waited for it; a failure; an old job's spec.
    running = house.submit("wait")
    until(lambda: site.show(running)["epochs_run"] > 0, 30)
    doomed = house.submit("fine", after=[running])
    client.cancel(running, reason="enough")
    assert [site.wait(job)["state"] for job in (running, doomed)] == ["cancelled"] * 2
    client.retry(doomed)
    assert site.wait(doomed)["state"] == "succeeded"
    client.retry(running)
    until(lambda: site.show(running)["attempts"] == 2, 30)
    client.cancel(running)
    crashed = house.submit("crash")
    assert site.wait(crashed, timeout_s=60)["failure"]["code"] == "CRASHED"
    client.retry(crashed, fresh=True)
    assert site.wait(client.clone(first).id)["state"] == "succeeded"

    # Each attempt, row and event was written by users who may do no more.
    said = worker.text()
    print(f"R24: {len(client.jobs().rows)} jobs lived under them")
    assert "permission denied" not in said
    assert "NOPERM" not in said


def test_r24_a_worker_can_be_drained_by_a_client(house: House) -> None:
    with house.site.worker("--slots", "1") as second:
        house.client.drain_worker(second.name)
        until(lambda: second.process.poll() == 0, 30, saw=second.text)
    print("R24: drained from afar by a client's user")


@pytest.mark.parametrize("user", sorted(ALLOWED))
def test_r24_no_other_command_of_redis_is_allowed(
    house: House, redis_server: RedisServer, user: str
) -> None:
    with redis_server.client() as everybody:
        commands = {name: int(facts["arity"]) for name, facts in everybody.command().items()}
    allowed = []
    with house.redis.client(user) as client:
        for name, arity in sorted(commands.items()):
            if name in ALLOWED[user] | ALWAYS:
                continue
            words = ["fornada:x"] * (abs(arity) - 1)
            try:
                client.execute_command(name, *words)
                allowed.append(name)
            except NoPermissionError:
                continue
            except ResponseError as error:
                # CLIENT may set a connection's name; EXEC ends what was refused before it.
                if name != "client" and "NOPERM" not in str(error):
                    allowed.append(f"{name}: {error}")
        for words in (["LIST"], ["KILL", "ID", "1"], ["PAUSE", "1"], ["NO-EVICT", "ON"]):
            with pytest.raises((NoPermissionError, ResponseError)):
                client.execute_command("CLIENT", *words)
        with pytest.raises(NoPermissionError):
            client.lpush("other:queue", "x")
    print(f"R24: {len(commands)} commands of Redis, of which {user} may do {ALLOWED[user]}")
    assert allowed == []


def test_r24_nobody_enters_redis_without_a_password(house: House) -> None:
    import redis

    for user, password in ((None, None), ("default", ""), ("fornada-client", "x")):
        with (
            redis.Redis(
                unix_socket_path=str(house.redis.socket), username=user, password=password
            ) as client,
            pytest.raises((redis.AuthenticationError, NoPermissionError)),
        ):
            client.ping()


@pytest.mark.parametrize("role", sorted(TABLE_RIGHTS))
def test_r24_a_role_of_postgresql_has_these_rights_and_no_other(house: House, role: str) -> None:
    with house.postgres.connect(NAME) as connection:
        found = {
            (table, right)
            for table in TABLES
            for right in (*RIGHTS, "SELECT")
            if _scalar(
                connection,
                "SELECT has_table_privilege(%s, %s, %s)",
                f"fornada_{role}",
                f'public."{table}"',
                right,
            )
        }
    expected = {(table, right) for table, rights in TABLE_RIGHTS[role].items() for right in rights}
    print(f"R24: {role}: {len(found)} rights on {len(TABLES)} tables")
    assert found == expected | {(table, "SELECT") for table in TABLES}


def test_r24_a_client_can_write_no_result(house: House) -> None:
    with house.connect("client") as connection:
        for column in RESULTS:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f'UPDATE job SET "{column}" = NULL'.encode())  # noqa: S608
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO job (best_uri) VALUES ('x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE worker SET seen_at = now()")
        for table in ("epoch", "attempt", "artifact", "metric_summary", "dataset", "log_chunk"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"INSERT INTO {table} DEFAULT VALUES".encode())
    print(f"R24: {len(RESULTS)} columns of a job refused")


@pytest.mark.parametrize("table", sorted({*TABLES} - {"dependency"}))
def test_r24_a_client_locks_no_table_against_workers(house: House, table: str) -> None:
    with house.connect("client") as connection:
        for mode in STRONG_LOCKS:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f'LOCK TABLE "{table}" IN {mode} MODE NOWAIT'.encode())


def test_r24_a_client_waives_no_dependency_of_a_job_that_waits(house: House) -> None:
    first = house.submit("fine", held=True)
    waiting = house.submit("fine", after=[first])
    with (
        house.connect("client") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT fornada_waive_dependencies(%s, %s)", [waiting, [first]])
    assert house.site.show(waiting)["after"] == [first]
    house.client.cancel(first)


@pytest.mark.parametrize("who", ["client", "worker"])
def test_r24_no_role_can_do_more_than_read_and_write_rows(house: House, who: str) -> None:
    with house.connect(who) as connection:
        for statement in BEYOND:
            try:
                connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            pytest.fail(f"{who} may: {statement}")
    print(f"R24: {len(BEYOND)} statements refused to {who}")


def test_r24_a_table_of_a_later_revision_can_be_read_and_not_written(house: House) -> None:
    with house.connect("owner") as owner:
        owner.execute("CREATE TABLE later (x text)")
    try:
        for who in ("client", "worker"):
            with house.connect(who) as connection:
                connection.execute("SELECT * FROM later")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("INSERT INTO later VALUES ('x')")
    finally:
        with house.connect("owner") as owner:
            owner.execute("DROP TABLE later")


def test_r24_a_missing_right_is_said_in_a_sentence(house: House) -> None:
    reader = house.fornada.with_settings(FORNADA_DATABASE_URL=house.url("worker"))

    said = reader("queue", "pause", "default", code=6).stderr

    print(f"R24: {said.strip()}")
    assert "does not let this user do that: permission denied for table queue" in said
    assert house.roles["worker"] not in said


def _scalar(connection: "psycopg.Connection[tuple[object, ...]]", sql: str, *values: str) -> bool:
    row = connection.execute(sql.encode(), values).fetchone()
    return bool(row and row[0])
