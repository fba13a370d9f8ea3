"""R36: the schema is upgraded while workers and clients of the release before run.

The release before is the wheel of `tests/previous`. After the upgrade, a revision that the test
makes up is applied too. It stands for the schema of the next version, so that this version is shown
to work with its next one.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from fornada.db import migrations
from fornada.db.store import table_locks
from fornada.db.store.session import Database
from fornada.db.store.table_locks import LockedOut
from fornada.db.store.tables import METADATA
from tests import previous, processes
from tests.acceptance.installed import Fornada
from tests.faults.house import House
from tests.faults.real import differences, outcome
from tests.servers import DEPLOY, PostgresServer, RedisServer, UsersRedis
from tests.until import until
from tests.worker_process import PROGRAM, QUICK, REPOSITORY, START_S, Site
from tests.worker_training import RICH

NAME, QUEUE, OLD, NEW = "fornada", "night", "old", "new"
MADE_UP = "9999"
# So long that an upgrade takes a small part of it.
EPOCHS = 200
LONG = RICH.replace("batch_size: 32", "batch_size: 4").replace(
    "patience: 30", f"patience: {EPOCHS}"
)
TRAINS_S = 300.0
# Nobody here waits for a lease, and a busy disk does not end one.
SETTINGS = QUICK | {"LEASE_S": "60", "GRACE_S": "60"}


@dataclass(frozen=True)
class Place:
    """A database without tables and a broker, and who uses them.

    Args:
        home: of the workers.
        databases: URL of the database for `owner`, `worker` and `client`.
        brokers: URL of the broker for `worker` and `client`.
        grant: gives the logins the rights of a file with grants.
        installed: the release before.
    """

    home: Path
    databases: dict[str, str]
    brokers: dict[str, str]
    grant: Callable[[Path], None]
    installed: Path

    def settings(self, who: str) -> dict[str, str]:
        """What the programs of `owner`, `worker` or `client` find in their environment."""
        ours = {f"FORNADA_{name}": value for name, value in SETTINGS.items()}
        return ours | {
            "FORNADA_DATABASE_URL": self.databases[who],
            "FORNADA_BROKER_URL": self.brokers.get(who, self.brokers["client"]),
            "FORNADA_DATA_ROOT": str(REPOSITORY),
            "FORNADA_ARTIFACTS": str(self.home / "artifacts"),
        }

    def command(self, who: str, *, old: bool) -> Fornada:
        """The command of a person, of the release before or of this version."""
        release = previous.environment(self.installed) if old else {}
        home = self.home / f"{who}-{OLD if old else NEW}"
        return Fornada(home, self.settings(who) | release, forks=False)

    @contextmanager
    def worker(self, name: str, *, old: bool) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker with one slot and real trainers. It has ended at the end of the block."""
        environment = dict(os.environ) | self.settings("worker") | {"FORNADA_HOME": str(self.home)}
        if old:
            environment |= previous.environment(self.installed)
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, "--queues", QUEUE, "--slots", "1", "--name", name],
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            client = self.command("client", old=old)
            until(lambda: _is_ready(client, name), START_S, saw=lambda: self.log(name))
            yield process
        finally:
            process.terminate()
            try:
                process.wait(90)
            finally:
                process.kill()

    def log(self, name: str) -> str:
        """What a worker has said."""
        return (self.home / f"{name}.log").read_text(errors="replace")


def _is_ready(client: Fornada, name: str) -> bool:
    rows = client("worker", "ls", "--json").document
    return any(row["name"] == name and row["state"] != "starting" for row in rows)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, which a Unix socket needs."""
    made = Path(tempfile.mkdtemp(prefix="fv-", dir="/tmp"))
    yield made
    left = processes.of_home(made / "home")
    shutil.rmtree(made)
    assert not left, f"processes left behind: {left}"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """Of each kind in turn; PostgreSQL and Redis with the logins of `deploy`."""
    home, installed = folder / "home", previous.install(folder / "previous")
    home.mkdir()
    if request.param == "sqlite":
        url = f"sqlite:///{home}/fornada.db"
        with RedisServer() as redis:
            everybody = dict.fromkeys(("owner", "worker", "client"), url)
            brokers = {"worker": redis.url, "client": redis.url}
            yield Place(home, everybody, brokers, lambda grants: None, installed)
        return
    with PostgresServer() as server, UsersRedis() as users:
        server.execute(f"CREATE DATABASE {NAME}")
        roles = server.make_roles(NAME)

        def grant(grants: Path) -> None:
            with psycopg.connect(
                host=str(server.folder),
                user="fornada_owner",
                password=roles["owner"],
                dbname=NAME,
                autocommit=True,
            ) as connection:
                connection.execute(grants.read_bytes())

        yield Place(
            home,
            {who: server.url(NAME, f"fornada_{who}", roles[who]) for who in roles},
            {who: users.url(who) for who in ("worker", "client")},
            grant,
            installed,
        )


@contextmanager
def observed(place: Place) -> Iterator[Site]:
    """What this version sees of the database. The home and its workers are not the site's."""
    site = Site(place.databases["worker"], place.brokers["worker"], QUEUE, place.home)
    yield site
    site.publisher.close()
    site.database.dispose()


def spec(folder: Path, name: str, epochs: int) -> Path:
    """Write the spec of a job, which trains the same numbers under each name."""
    file = folder / f"{name}.yaml"
    file.write_text(LONG.format(name=name, epochs=epochs))
    return file


def add_the_next_revision(place: Place) -> None:
    """Change the schema as the next version might: only by additions."""
    database = Database(place.databases["owner"])
    with database.begin() as connection:
        for table in METADATA.tables:
            connection.exec_driver_sql(
                f'ALTER TABLE "{table}" ADD COLUMN made_up INTEGER NOT NULL DEFAULT 7'
            )
        connection.exec_driver_sql(
            "CREATE TABLE made_up (job_id BIGINT PRIMARY KEY REFERENCES job (id), note TEXT)"
        )
        connection.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": MADE_UP})
    database.dispose()


def steer(client: Fornada, file: Path) -> None:
    """Queue, look at, change and cancel jobs with a client."""
    job = client("submit", "-q", file, "--queue", "nobody", "--wait-for-worker").stdout.strip()
    assert client("show", job, "--json").document["state"] == "queued"
    assert int(job) in {row["id"] for row in client("ls", "--json").document["jobs"]}
    client("hold", job)
    client("release", job)
    client("move", job, "--priority", "3")
    client("cancel", job, "--reason", "a test")
    shown = client("show", job, "--json").document
    assert (shown["state"], shown["priority"]) == ("cancelled", 3)
    client("retry", job)
    client("cancel", job)


def workers_of(job: Any) -> list[str]:
    """The workers that ran the attempts of a job."""
    return [attempt["worker"] for attempt in job["executions"]]


@pytest.mark.timeout(1200)
def test_r36_old_workers_and_clients_go_on_while_the_schema_is_upgraded(
    place: Place, tmp_path: Path
) -> None:
    old, new = place.command("client", old=True), place.command("client", old=False)
    owner = place.command("owner", old=False)
    assert previous.VERSION in old("--version").stdout
    assert previous.VERSION not in new("--version").stdout
    place.command("owner", old=True)("db", "upgrade")
    place.grant(previous.GRANTS)
    known = old("db", "current", "--json").document["current"]

    with place.worker(OLD, old=True) as worker:
        runs = int(old("submit", "-q", spec(tmp_path, "runs", EPOCHS), "--queue", QUEUE).stdout)
        until(
            lambda: old("show", runs, "--json").document["epochs_run"] >= 3,
            TRAINS_S,
            saw=lambda: place.log(OLD),
        )

        upgraded = owner("db", "upgrade", "--json").document
        assert (upgraded["before"], upgraded["after"]) == (known, migrations.HEAD)
        assert upgraded["others_may_run"]
        add_the_next_revision(place)
        place.grant(DEPLOY / "postgres" / "grants.sql")

        with observed(place) as site:
            seen = site.show(runs)
            print(f"R36: upgraded from {known} to {MADE_UP} in epoch {seen['epochs_run'] + 1}")
            assert seen["state"] == "running"
            for client in (old, new):
                assert client("db", "current", "--json").document["fits"]
                steer(client, spec(tmp_path, "steered", 1))
            of_new = int(new("submit", "-q", spec(tmp_path, "of-new", 1), "--queue", QUEUE).stdout)
            reference = site.wait(runs, timeout_s=TRAINS_S)
            assert (reference["state"], workers_of(reference)) == ("succeeded", [OLD])
            assert reference["epochs_run"] > seen["epochs_run"]
            assert workers_of(site.wait(of_new, timeout_s=TRAINS_S)) == [OLD]

            begun = old("submit", "-q", spec(tmp_path, "begun", EPOCHS), "--queue", QUEUE)
            resumed = int(begun.stdout)
            until(lambda: site.show(resumed)["epochs_run"] >= 5, TRAINS_S)
            worker.terminate()
            assert worker.wait(90) == 0, place.log(OLD)
            assert site.show(resumed)["executions"][-1]["outcome"] == "preempted"
            of_old = int(old("submit", "-q", spec(tmp_path, "of-old", 1), "--queue", QUEUE).stdout)
            with place.worker(NEW, old=False):
                job = site.wait(resumed, timeout_s=TRAINS_S)
                print(f"R36: {[each['resumed'] for each in job['executions']]}")
                assert workers_of(site.wait(of_old, timeout_s=TRAINS_S)) == [NEW]
            assert (job["state"], workers_of(job)) == ("succeeded", [OLD, NEW])
            assert job["executions"][1]["resumed"]["inexact"] is None
            assert [
                each["versions"]["fornada"] == previous.VERSION for each in job["executions"]
            ] == [*(True, False)]
            assert differences(outcome(site, job), outcome(site, reference)) == []
            assert {job["state"] for job in (site.show(of_new), site.show(of_old))} == {"succeeded"}


def test_r36_the_owner_of_the_schema_sees_who_holds_a_table_and_since_when() -> None:
    with House() as house, house.connect("client") as client, client.transaction():
        client.execute("SELECT FROM job")
        owner = Database(house.url("owner"))
        (holder,) = table_locks.holders(owner, {"job": LockedOut.ALL})
        owner.dispose()
        assert (holder.pid, holder.login) == (client.info.backend_pid, "fornada_client")
        assert holder.since is not None
