"""What every part of the client stands on: settings, a database that opens when it is needed."""

import socket
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from fornada import artifacts
from fornada.client.presence import Presence
from fornada.client.submission import user
from fornada.db import migrations
from fornada.db.reads import documents
from fornada.db.reads import references as job_references
from fornada.db.store import session
from fornada.settings import Settings


class Connected:
    """A client's settings and its connection.

    Args:
        settings: default: from the environment and `config.toml`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    def find(self, references: Iterable[str | int]) -> list[int]:
        """The ids of ids, uid prefixes, ranges `12-20` and `@last`.

        Raises:
            BadReference: one is no range that goes up, and could be nothing else.
            JobNotFound: one names no job.
            AmbiguousReference: a prefix names several.
        """
        return job_references.resolve(self._database, map(str, references))

    def find_one(self, reference: str | int) -> int:
        """The id of the one job that an id, a uid prefix or `@last` names.

        Raises:
            BadReference: it is a range.
            JobNotFound: it names no job.
            AmbiguousReference: a prefix names several.
        """
        return job_references.find(self._database, str(reference))

    def show(self, reference: str | int) -> dict[str, Any]:
        """All that is known of a job: the document of `fornada show --json`.

        Raises:
            JobNotFound: there is none.
        """
        return self._document(self.find_one(reference))

    @property
    def actor(self) -> str:
        """Who acts, for the record: user@host."""
        return f"{user()}@{socket.gethostname()}"

    def close(self) -> None:
        """Close connections to the database."""
        if "_database" in self.__dict__:
            self._database.dispose()
            del self.__dict__["_database"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def _database(self) -> session.Database:
        if self.settings.embedded:
            self.settings.make_home()
        database = session.Database(self.settings.sql_url)
        migrations.prepare(database, may_upgrade=self.settings.embedded)
        return database

    def _document(self, job_id: int) -> dict[str, Any]:
        document: dict[str, Any] = documents.job(self._database, job_id)
        best = document.get("best")
        if best:
            best["path"] = str(artifacts.path(self.settings, best["uri"]))
        self._mark([document])
        return document

    def _mark(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Say of each file that these documents name whether it is there."""
        Presence(self.settings, self._database).mark(jobs)
