"""The settings, database connection and wake-ups that all parts of the client share."""

import socket
from collections.abc import Sequence
from functools import cached_property

from fornada import artifacts
from fornada.absolute_folders import absolute
from fornada.client.presence import Presence, Recorded
from fornada.client.submission import user
from fornada.client.wake_ups import WakeUps
from fornada.db import migrations
from fornada.db.answers import JobAnswer
from fornada.db.migrations import Schema
from fornada.db.queue import workers
from fornada.db.reads import documents
from fornada.db.reasons import NoWorker
from fornada.db.records import WorkerProcess
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.stack import dead_workers


class Connection:
    """Connects to the database when it is first needed.

    Args:
        settings: where the database and the broker are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def database(self) -> Database:
        """The database, with a schema that this version can use."""
        return self._opened[0]

    @cached_property
    def wake_ups(self) -> WakeUps:
        """Wakes the workers of the database."""
        return WakeUps(self.settings, self._opened[1].fleet)

    @cached_property
    def _opened(self) -> tuple[Database, Schema]:
        if self.settings.embedded:
            self.settings.make_home()
        database = Database(self.settings.sql_url)
        return database, migrations.prepare(database, may_upgrade=self.settings.embedded)

    @property
    def actor(self) -> str:
        """Who makes a change, as it is recorded in events: user@host."""
        return f"{user()}@{socket.gethostname()}"

    @property
    def dead(self) -> frozenset[WorkerProcess]:
        """The workers that this host knows to have been killed.

        Only those of an embedded stack: where workers of other hosts live, upkeep takes over.
        """
        return dead_workers.found(self.settings.home) if self.settings.embedded else frozenset()

    def document(self, job_id: int) -> JobAnswer:
        """The document of `fornada show --json`.

        Raises:
            JobNotFound: no job has this id.
        """
        document = documents.job(self.database, job_id)
        document["spec"] = absolute(document["spec"], self.settings.data_root_path)
        best = document["best"]
        if best is not None:
            best["path"] = str(artifacts.path(self.settings, best["uri"]))
        self.mark([document])
        return document

    def mark(self, jobs: Sequence[Recorded]) -> None:
        """Add `exists` to each file that these documents name, and `lost` to each document.

        A lost job in a row of `ps` waits for a worker; for how long it has run is not known.
        """
        Presence(self.settings, self.database).mark(jobs)
        dead = self.dead
        lost = workers.lost_jobs(self.database, dead) if dead else set()
        for job in jobs:
            job["lost"] = job["id"] in lost
            if job["lost"] and "eta_s" in job:
                job["waits"] = NoWorker()
                job["eta_s"] = job["elapsed_s"] = None

    def is_lost(self, job_id: int) -> bool:
        """Whether a job runs on a worker of the embedded stack that was killed."""
        dead = self.dead
        return bool(dead) and job_id in workers.lost_jobs(self.database, dead)

    def close(self) -> None:
        """Close the connections to the database and to Redis."""
        if "wake_ups" in self.__dict__:
            self.wake_ups.close()
            del self.__dict__["wake_ups"]
        if "_opened" in self.__dict__:
            self.database.dispose()
            del self.__dict__["_opened"]
