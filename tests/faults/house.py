"""A service as docker-compose.yml makes it: a user for workers, one for clients, one owner."""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from fornada.client import Client
from fornada.db import migrations
from fornada.db.store.session import Database
from fornada.settings import Settings
from tests.acceptance.installed import Fornada
from tests.servers import DEPLOY, PostgresServer, UsersRedis
from tests.worker_process import QUICK, REPOSITORY, Site

NAME = "fornada"


@dataclass
class House:
    """Servers with the users of `deploy`, a site whose workers are theirs, and a client's command.

    Attributes:
        passwords: of everybody, by what it is for.
        site: with the worker's users.
        fornada: the command line, with the client's.
        client: a program, with the client's.
    """

    postgres: PostgresServer = field(default_factory=PostgresServer)
    redis: UsersRedis = field(default_factory=UsersRedis)

    def __enter__(self) -> Self:
        self.postgres.start()
        self.redis.start()
        self.postgres.execute(f"CREATE DATABASE {NAME}")
        self.roles = self.postgres.make_roles(NAME)
        owner = Database(self.url("owner"))
        migrations.upgrade(owner)
        owner.dispose()
        with self.connect("owner") as connection:
            connection.execute((DEPLOY / "postgres" / "grants.sql").read_bytes())
        self.site = Site(self.url("worker"), self.redis.url("worker"))
        ours: dict[str, str] = {
            "database_url": self.url("client"),
            "broker_url": self.redis.url("client"),
            "data_root": str(REPOSITORY),
            "artifacts": str(self.site.settings.artifacts_folder),
            "heartbeat_s": "1",
            "upkeep_s": QUICK["UPKEEP_S"],
        }
        home = self.site.home / "client"
        self.fornada = Fornada(
            home, {f"FORNADA_{name.upper()}": ours[name] for name in ours}, forks=False
        )
        self.client = Client(Settings(**ours | {"home": home}))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        self.site.close()
        self.redis.__exit__(kind, error, trace)
        self.postgres.__exit__(kind, error, trace)

    @property
    def passwords(self) -> dict[str, str]:
        """All there are."""
        sql = {f"PostgreSQL's {who}": password for who, password in self.roles.items()}
        redis = {f"Redis's {who}": password for who, password in self.redis.passwords.items()}
        return sql | redis | {"PostgreSQL's superuser": self.postgres.password}

    def url(self, who: str) -> str:
        """SQLAlchemy URL of the database for `owner`, `worker` or `client`."""
        return self.postgres.url(NAME, f"fornada_{who}", self.roles[who])

    def connect(self, who: str) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection of the driver's, for statements that no program of ours would send."""
        return self.connect_as(f"fornada_{who}", self.roles[who])

    def connect_as(
        self, login: str, password: str, name: str = NAME
    ) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection of any login, to a database of the server."""
        return psycopg.connect(
            host=str(self.postgres.folder),
            user=login,
            password=password,
            dbname=name,
            autocommit=True,
        )

    def submit(self, name: str, **terms: Any) -> int:
        """Queue a job as a client, its name tells a stub trainer what to do; its id."""
        spec = REPOSITORY / "specs" / "digits.yaml"
        accepted = self.client.submit(spec, name=name, queue=self.site.queue, **terms)
        # Upkeep would find the job all the same.
        assert accepted.warning is None, accepted.warning
        return accepted.id

    @property
    def folder(self) -> Path:
        """Where workers and clients leave what they leave."""
        return self.site.home
