"""What a program does with jobs; the command line does nothing else.

from fornada import Client

client = Client()
job = client.submit("specs/digits.yaml", tags={"owner": "ana"})
print(client.wait(job.id)["best"]["path"])
"""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from db import history, jobs, session, workers
from db.history import Page
from db.jobs import NewJob
from db.states import FINAL_STATES, JobState
from fornada import artifacts
from fornada.errors import BrokerUnreachable, LogElsewhere, NotStarted, WaitTimedOut
from fornada.settings import Settings
from fornada.submission import Submitted, new_job, user

if TYPE_CHECKING:
    from fornada.sources import Source
    from fornada.spec import Spec

# Seconds between two looks at a job: an epoch is in the database within two.
LOOK_S = 0.5
# The name of the log in an attempt's folder.
LOG = "train.log"
# A worker unheard of for this many heartbeats is not alive.
HEARTBEATS = 3


@dataclass(frozen=True)
class Sight:
    """A job as it was seen at one moment.

    Args:
        job: the document of `fornada show --json`.
        epochs: those that are new since the sight before.
        waits: why a queued job is not running, in `fornada ps`'s words.
        final: whether this is the last sight: no worker will move the job any more.
    """

    job: dict[str, Any]
    epochs: list[dict[str, Any]]
    waits: str | None
    final: bool


class Client:
    """Submit jobs, follow them, ask the history.

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

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    def load(self, source: "Source", *, overrides: Sequence[str] = ()) -> "Spec":
        """Read and check a spec.

        Args:
            source: a file, a document, or a spec already read.
            overrides: changes such as `data.batch_size=128`, checked like the file.
        Raises:
            SpecProblems: with all its problems.
        """
        # Here, not above: who only reads the record does not wait for the spec's catalogue.
        from fornada import sources

        return sources.load(self.settings, source, overrides=overrides)

    def load_all(self, given: Iterable["Source"], *, overrides: Sequence[str] = ()) -> list["Spec"]:
        """Read and check several specs.

        Raises:
            SpecProblems: with all problems of all of them.
        """
        from fornada import sources

        return sources.load_all(self.settings, given, overrides=overrides)

    def submit(  # noqa: PLR0913 - each is a field of its own
        self,
        spec: "Source",
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        time_limit_s: float | None = None,
        overrides: Sequence[str] = (),
    ) -> Submitted:
        """Queue a job.

        Args:
            spec: a file, a document, or a spec already read.
            name: instead of the spec's.
            tags: added to the spec's.
            queue: instead of the spec's.
            priority: instead of the spec's; higher runs first.
            time_limit_s: instead of the spec's, in seconds.
            overrides: more changes, such as `data.batch_size=128`.
        Returns:
            The accepted job; with a warning when Redis was away.
        Raises:
            SpecProblems: the spec is invalid; nothing was accepted.
            DatabaseUnreachable: nothing was accepted.
        """
        from fornada.sources import changes_of

        changes = changes_of(
            overrides,
            name=name,
            tags=tags,
            queue=queue,
            priority=priority,
            time_limit=None if time_limit_s is None else f"{time_limit_s:g}",
        )
        return next(self.submit_all([self.load(spec, overrides=changes)]))

    def submit_all(self, specs: Iterable["Spec"]) -> Iterator[Submitted]:
        """Queue one job for each spec; see `submit`."""
        warning: str | None = None
        for spec in specs:
            new = new_job(spec)
            job_id = jobs.add(self._database, new, self.actor)
            # Once Redis was found away, the others do not wait for it too.
            warning = warning or self._wake(new)
            yield Submitted(job_id, new.uid, warning)

    def find(self, references: Iterable[str | int]) -> list[int]:
        """The ids of ids, uid prefixes, ranges `12-20` and `@last`.

        Raises:
            JobNotFound: one names no job.
            AmbiguousReference: a prefix names several.
        """
        return history.resolve(self._database, [str(reference) for reference in references])

    def show(self, reference: str | int) -> dict[str, Any]:
        """All that is known of a job: the document of `fornada show --json`.

        Raises:
            JobNotFound: there is none.
        """
        return self._document(self._id(reference))

    def follow(
        self, reference: str | int, *, timeout_s: float | None = None, look_s: float = LOOK_S
    ) -> Iterator[Sight]:
        """See a job again and again until it is final.

        Args:
            reference: the job.
            timeout_s: how long at most; None for ever.
            look_s: pause between two looks.
        Raises:
            WaitTimedOut: it was not final in time.
        """
        job_id = self._id(reference)
        end = None if timeout_s is None else time.monotonic() + timeout_s
        last = 0
        while True:
            # Its end first: the epochs are read after it, so that none is missing at the end, and
            # the job after the epochs, so that its best is of the epoch that is shown.
            ended = self._document(job_id)["state"] in FINAL_STATES
            epochs = history.epochs(self._database, job_id, last)
            last = epochs[-1]["epoch"] if epochs else last
            job = self._document(job_id)
            yield Sight(job, epochs, self._waits(job), final=ended)
            if ended:
                return
            if job["state"] in FINAL_STATES:
                # It ended while we looked: once more, for epochs that came meanwhile.
                continue
            if end is not None and time.monotonic() >= end:
                raise WaitTimedOut(
                    f"job {job_id} is still {job['state']} after {timeout_s:g} s; it goes on"
                )
            time.sleep(look_s)

    def wait(self, reference: str | int, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait until a job is final.

        Returns:
            Its document, whatever the end was: look at `state`.
        Raises:
            WaitTimedOut: it was not final in time; it goes on.
        """
        *_, last = self.follow(reference, timeout_s=timeout_s)
        return last.job

    def cancel(self, reference: str | int, *, reason: str | None = None) -> JobState:
        """Cancel a job: at once when it waits, within seconds when it runs.

        Returns:
            Its state now: `running` until its trainer has stopped.
        Raises:
            WrongState: it has ended otherwise.
        """
        return jobs.cancel(self._database, self._id(reference), self.actor, reason)

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
        return history.page(
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

    def alive(self) -> list[dict[str, Any]]:
        """Jobs that wait or run, with why they wait."""
        return history.alive(self._database)

    def metrics(self, reference: str | int) -> dict[str, Any]:
        """Every epoch of a job: the document of `fornada metrics --json`."""
        job_id = self._id(reference)
        return {"id": job_id, "epochs": history.epochs(self._database, job_id)}

    def events(self, reference: str | int) -> list[dict[str, Any]]:
        """What happened to a job, oldest first."""
        return history.events(self._database, self._id(reference))

    def workers(self) -> list[dict[str, Any]]:
        """Workers heard of within three heartbeats."""
        return workers.alive(self._database, HEARTBEATS * self.settings.heartbeat_s)

    def log_file(self, reference: str | int) -> Path:
        """The training log of a job's latest attempt, on this host.

        Raises:
            NotStarted: no attempt has begun to write it.
            LogElsewhere: it lies on a worker's host whose artifacts are not mounted here.
        """
        job_id = self._id(reference)
        place = history.log_location(self._database, job_id)
        if not place or not place.get("folder"):
            state = self._document(job_id)["state"]
            when = "began no log" if state in FINAL_STATES else "has no log yet"
            raise NotStarted(f"job {job_id} is {state} and {when}")
        file = artifacts.path(self.settings, place["folder"]) / LOG
        if file.exists():
            return file
        if place["host"] != socket.gethostname():
            raise LogElsewhere(
                f"the log of job {job_id} lies on host {place['host']}, at {file} there"
            )
        raise NotStarted(f"job {job_id} has not begun its log {file}")

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
        session.prepare(database, upgrade=self.settings.embedded)
        return database

    def _id(self, reference: str | int) -> int:
        return history.find(self._database, str(reference))

    def _document(self, job_id: int) -> dict[str, Any]:
        document: dict[str, Any] = history.job(self._database, job_id)
        best = document.get("best")
        if best:
            best["path"] = str(artifacts.path(self.settings, best["uri"]))
        return document

    def _waits(self, job: Mapping[str, Any]) -> str | None:
        if job["state"] != JobState.QUEUED:
            return None
        rows = (row for row in self.alive() if row["id"] == job["id"])
        return next((row["waits"] for row in rows), None)

    def _wake(self, new: NewJob) -> str | None:
        from fornada import broker, local

        if self.settings.embedded and not local.running(self.settings):
            return (
                "no stack is up here. The job is accepted; it runs once one is: fornada up, "
                "in another terminal."
            )
        try:
            broker.publish(broker.make_app(self.settings), new.queue, new.uid, asdict(new))
        except BrokerUnreachable as error:
            return f"{error}\n  The job is accepted; a worker takes it when Redis is back."
        return None
