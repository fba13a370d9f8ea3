"""A service as docker-compose.yml makes it: a user for workers, one for clients, one owner."""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from db import migrations
from db.session import Database
from tests.acceptance.installed import Fornada
from tests.servers import DEPLOY, PostgresServer, UsersRedis
from tests.worker_process import REPOSITORY, Site

NAME = "fornada"


@dataclass
class House:
    """Servers with the users of `deploy`, a site whose workers are theirs, and a client's command.

    Attributes:
        passwords: of everybody, by what it is for.
        site: with the worker's users.
        fornada: with the client's.
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
        self.fornada = Fornada(
            self.site.home / "client",
            {
                "FORNADA_DATABASE_URL": self.url("client"),
                "FORNADA_BROKER_URL": self.redis.url("client"),
                "FORNADA_DATA_ROOT": str(REPOSITORY),
                "FORNADA_ARTIFACTS": str(self.site.settings.artifacts_folder),
                "FORNADA_HEARTBEAT_S": "1",
            },
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        return psycopg.connect(
            host=str(self.postgres.folder),
            user=f"fornada_{who}",
            password=self.roles[who],
            dbname=NAME,
            autocommit=True,
        )

    def submit(self, name: str, *words: object) -> int:
        """Queue a job whose name tells a stub trainer what to do; its id."""
        spec = REPOSITORY / "specs" / "digits.yaml"
        queue = self.site.queue
        done = self.fornada("submit", "-q", spec, "--name", name, "--queue", queue, *words)
        return int(done.stdout)

    @property
    def folder(self) -> Path:
        """Where workers and clients leave what they leave."""
        return self.site.home
