"""What a program does with jobs; the command line does nothing else.

from fornada import Client

client = Client()
job = client.submit("specs/digits.yaml", tags={"owner": "ana"})
print(client.wait(job.id)["best"]["path"])
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fornada.client.clone import Again
from fornada.client.follow import Following, Sight
from fornada.client.logs import Logs, Piece
from fornada.client.steering import Steering
from fornada.client.submission import Submitted, Terms
from fornada.db.queue import workers
from fornada.db.reads import history, live, pages
from fornada.db.reads.pages import Page
from fornada.db.states import JobState

__all__ = ["Client", "Piece", "Sight", "Submitted", "Terms"]


class Client(Again, Steering, Following, Logs):
    """Submit jobs, follow them, steer them, ask the history.

    A job is named by its id, a prefix of its uid of at least four digits, or `@last`.

    Args:
        settings: default: from the environment and `config.toml`.

    Example:
        >>> from fornada import Client
        >>> with Client() as client:  # doctest: +SKIP
        ...     job = client.submit("specs/digits.yaml", overrides=["data.batch_size=128"])
        ...     client.wait(job.id)["test"]["metrics"]
        {'sparse_categorical_accuracy': 0.964}
    """

    def jobs(  # noqa: PLR0913 - each is a filter of its own
        self,
        *,
        states: Iterable[JobState | str] = (),
        tags: Mapping[str, str] | None = None,
        name: str | None = None,
        since: datetime | None = None,
        sort: str = "time",
        descending: bool = True,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        """One page of history.

        Args:
            states: only these; empty for all.
            tags: only jobs that carry all of these.
            name: only jobs of this name; `*` stands for anything.
            since: only jobs submitted at or after it, aware.
            sort: `time`, `duration`, or `metric:NAME` for a metric's best.
            descending: the latest, longest or greatest first.
            after: the cursor of the page before.
            limit: rows at most.
        """
        page = pages.page(
            self._database,
            states=[JobState(state) for state in states],
            tags=dict(tags or {}),
            name=name,
            since=since,
            sort=sort,
            descending=descending,
            after=after,
            limit=limit,
        )
        self._mark(page.rows)
        return page

    def alive(self) -> list[dict[str, Any]]:
        """Jobs that wait or run, with why they wait."""
        rows = live.alive(self._database, within_s=self.settings.alive_s)
        self._mark(rows)
        return rows

    def metrics(self, reference: str | int) -> dict[str, Any]:
        """Every epoch of a job: the document of `fornada metrics --json`."""
        job_id = self.find_one(reference)
        return {"id": job_id, "epochs": history.epochs(self._database, job_id)}

    def events(self, reference: str | int) -> list[dict[str, Any]]:
        """What happened to a job, oldest first: at, kind, actor, detail."""
        return history.events(self._database, self.find_one(reference))

    def workers(self) -> list[dict[str, Any]]:
        """Workers that are alive: heard of within three beats of upkeep.

        `state` is `starting`, `draining`, `busy` when no slot is free, or `idle`.
        """
        return workers.alive(self._database, self.settings.alive_s)
