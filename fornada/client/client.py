"""What a program does with jobs; the command line does nothing else.

from fornada import Client

client = Client()
job = client.submit("specs/digits.yaml", tags={"owner": "ana"})
print(client.wait(job.id)["best"]["path"])
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fornada.client import follow, logs, steering
from fornada.client.clone import recorded, refuse_to_extend
from fornada.client.connection import Connection
from fornada.client.follow import Sight
from fornada.client.logs import Piece
from fornada.client.submission import AT_ONCE, Submitted, Terms
from fornada.client.submit import Submission
from fornada.db.queue import queues, workers
from fornada.db.queue import steering as db_steering
from fornada.db.reads import history, live, pages
from fornada.db.reads import references as job_references
from fornada.db.reads.pages import Page
from fornada.db.states import JobState
from fornada.patience import Tell, say_nothing
from fornada.settings import Settings

if TYPE_CHECKING:
    from fornada.spec import Problem, Spec
    from fornada.spec.files import Source

__all__ = ["Client", "Piece", "Sight", "Submitted", "Terms"]


class Client:
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

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._connection = Connection(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database and to Redis."""
        self._connection.close()

    # Naming jobs.

    def find(self, references: Iterable[str | int]) -> list[int]:
        """The ids of ids, uid prefixes, ranges `12-20` and `@last`.

        Raises:
            BadReference: one is no range that goes up, and could be nothing else.
            JobNotFound: one names no job.
            AmbiguousReference: a prefix names several.
        """
        return job_references.resolve(self._connection.database, map(str, references))

    def find_one(self, reference: str | int) -> int:
        """The id of the one job that an id, a uid prefix or `@last` names.

        Raises:
            BadReference: it is a range.
            JobNotFound: it names no job.
            AmbiguousReference: a prefix names several.
        """
        return job_references.find(self._connection.database, str(reference))

    def show(self, reference: str | int) -> dict[str, Any]:
        """All that is known of a job: the document of `fornada show --json`.

        Raises:
            JobNotFound: there is none.
        """
        return self._connection.document(self.find_one(reference))

    # Queueing jobs.

    def load(self, source: "Source", *, overrides: Sequence[str] = ()) -> "Spec":
        """Read and check a spec.

        Args:
            source: a file, a document, or a spec already read.
            overrides: changes such as `data.batch_size=128`, checked like the file.
        Raises:
            SpecProblems: with all its problems.
        """
        # Here, not above: who only reads the record does not wait for the spec's catalogue.
        from fornada.spec import files

        return files.load(self.settings, source, overrides=overrides)

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
        key: str | None = None,
        held: bool = False,
        not_before: datetime | None = None,
        after: Iterable[str | int] = (),
        after_any: bool = False,
        needed: bool = False,
        wait_for_worker: bool = False,
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
            key: any text; where a job has it already, that job is returned and none is made.
            held: wait until somebody releases it.
            not_before: not earlier than this, aware.
            after: jobs that must have succeeded first; if one does not, this one is cancelled.
            after_any: any end of those jobs will do.
            needed: return the job that has trained the same spec on the same data, if there is one
                whose files are still there.
            wait_for_worker: accept it though no worker there is could ever run it.
        Returns:
            The accepted job; with a warning when Redis was away, or when a job has trained this
            but its files are gone; and with the spec's warnings.
        Raises:
            SpecProblems: the spec is invalid, or its folders are, where they lie on this host;
                nothing was accepted.
            DatabaseUnreachable: nothing was accepted.
            Undecided: the database went away for longer during the commit; `key` makes it safe
                to submit again.
            SettingsError: there is no broker for this database; nothing was accepted.
            NeverScheduled: no worker there is could ever run it; nothing was accepted.
            JobNotFound: one of `after` names none; nothing was accepted.
            DataUnreadable: it is to be compared by its data, and they cannot be read here.
        """
        from fornada.spec.files import changes_of

        changes = changes_of(
            overrides,
            name=name,
            tags=tags,
            queue=queue,
            priority=priority,
            time_limit=None if time_limit_s is None else repr(float(time_limit_s)),
        )
        terms = Terms(key, held, not_before, tuple(self.find(after)), after_any)
        read = self.load(spec, overrides=changes)
        (job,) = self.submit_all(
            [read], terms=terms, needed=needed, wait_for_worker=wait_for_worker
        )
        return job

    def submit_all(  # noqa: PLR0913 - each is a field of its own
        self,
        specs: Iterable["Spec"],
        *,
        terms: Terms = AT_ONCE,
        needed: bool = False,
        wait_for_worker: bool = False,
        warn: Callable[["Problem"], None] = lambda problem: None,
        accepted: Callable[["Spec", Submitted], None] = lambda spec, job: None,
    ) -> list[Submitted]:
        """Queue one job for each spec, all on the same terms; see `submit`.

        What refuses one of them refuses all, before any is queued. A database that goes away
        between two transactions of a hundred leaves those that `accepted` was told of.

        Args:
            specs: of the jobs.
            terms: of all of them.
            needed: as of `submit`.
            wait_for_worker: as of `submit`.
            warn: told at once what is most likely not meant in the folders of the specs, also
                where a problem refuses them.
            accepted: told of each job as soon as it is recorded.
        Returns:
            The jobs, in the order of their specs.
        """
        return Submission(self._connection, terms).queue(
            list(specs),
            needed=needed,
            wait_for_worker=wait_for_worker,
            warn=warn,
            accepted=accepted,
        )

    def clone(
        self,
        reference: str | int,
        *,
        overrides: Sequence[str] = (),
        terms: Terms = AT_ONCE,
        wait_for_worker: bool = False,
    ) -> Submitted:
        """Queue a new job from the spec of an old one, whatever became of that.

        Args:
            reference: the old job.
            overrides: changes such as `data.batch_size=128`, checked like a file's.
            terms: when the new one may start.
            wait_for_worker: as of `submit`.
        Raises:
            JobNotFound: there is no such job.
            SpecProblems: the changed spec is invalid; nothing was accepted.
            NeverScheduled: as of `submit`.
        """
        spec = self.recorded(reference, overrides=overrides)
        (job,) = self.submit_all([spec], terms=terms, wait_for_worker=wait_for_worker)
        return job

    def extend(
        self, reference: str | int, epochs: int, *, wait_for_worker: bool = False
    ) -> Submitted:
        """Queue a new job that goes on where a finished one has ended.

        Ten epochs and ten more are the same as twenty, early stopping included.

        Args:
            reference: the finished job.
            epochs: how many more, at least 1.
            wait_for_worker: as of `submit`.
        Raises:
            JobNotFound: there is no such job.
            NotExtendable: it has not succeeded, it stopped early, or its last state is gone.
        """
        if epochs < 1:
            raise ValueError(f"{epochs} more epochs are none; expected 1 or more")
        job = self.show(reference)
        refuse_to_extend(job)
        wanted = job["spec"]["fit"]["epochs"] + epochs
        spec = self.recorded(job["id"], overrides=[f"fit.epochs={wanted}"])
        terms = Terms(continues=job["id"])
        (more,) = self.submit_all([spec], terms=terms, wait_for_worker=wait_for_worker)
        return more

    def recorded(self, reference: str | int, *, overrides: Sequence[str] = ()) -> "Spec":
        """The spec of a job as it was recorded, with changes.

        Raises:
            JobNotFound: there is no such job.
            SpecProblems: the changed spec is invalid.
        """
        return recorded(self._connection, self.find_one(reference), overrides)

    # Following jobs.

    def follow(
        self,
        reference: str | int,
        *,
        timeout_s: float | None = None,
        look_s: float = follow.LOOK_S,
        tell: Tell = say_nothing,
    ) -> Iterator[Sight]:
        """See a job again and again until it is final.

        A database that goes away meanwhile is asked again until it is back.

        Args:
            reference: the job.
            timeout_s: how long at most; None for ever.
            look_s: pause between two looks.
            tell: hears, once each, that the database is away and that it is back.
        Raises:
            WaitTimedOut: it was not final in time.
        """
        job_id = self.find_one(reference)
        return follow.follow(
            self._connection, job_id, timeout_s=timeout_s, look_s=look_s, tell=tell
        )

    def wait(self, reference: str | int, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait until a job is final.

        Returns:
            Its document, whatever the end was: look at `state`.
        Raises:
            WaitTimedOut: it was not final in time; it goes on.
        """
        *_, last = self.follow(reference, timeout_s=timeout_s)
        return last.job

    def log(
        self, reference: str | int, *, attempt: int | None = None, tell: Tell = say_nothing
    ) -> Iterator[Piece]:
        """A job's log so far: that of every attempt, in order, or of one.

        Args:
            reference: the job.
            attempt: only this one; default: all.
            tell: hears, once each, that the database is away and that it is back.
        Raises:
            NotStarted: no such attempt has begun to write one.
            LogElsewhere: all of it lies on a worker's host whose artifacts are not mounted here.
        """
        job_id = self.find_one(reference)
        return logs.pieces(self._connection, job_id, attempt=attempt, tell=tell)

    def follow_log(
        self,
        reference: str | int,
        *,
        attempt: int | None = None,
        tell: Tell = say_nothing,
        look_s: float = logs.LOOK_S,
    ) -> Iterator[Piece]:
        """A job's log, byte for byte, as it grows, through all attempts, until the job is final.

        A database that goes away meanwhile is asked again until it is back; not a byte is lost
        or comes twice.

        Args:
            reference: the job.
            attempt: end with this one, and begin with it; default: all.
            tell: hears, once each, that the database is away and that it is back.
            look_s: pause between two looks.
        Raises:
            NotStarted: it ended and no attempt had begun a log.
            LogElsewhere: as of `log`.
        """
        job_id = self.find_one(reference)
        return logs.pieces(
            self._connection, job_id, attempt=attempt, follow=True, tell=tell, look_s=look_s
        )

    # Steering jobs, queues and workers.

    def cancel(
        self,
        reference: str | int,
        *,
        reason: str | None = None,
        grace_s: float | None = None,
        force: bool = False,
    ) -> JobState:
        """Cancel a job: at once when it waits, within seconds when it runs.

        Args:
            reference: the job; one that is cancelled already stays so.
            reason: said in its history.
            grace_s: how long its trainer may take to stop; None for the worker's own 10 s.
            force: kill its trainer at once: what it did since its last state is lost.
        Returns:
            Its state now: `running` until its trainer has stopped.
        Raises:
            WrongState: it has ended otherwise.
        """
        job_id, actor = self.find_one(reference), self._connection.actor
        grace_s = 0.0 if force else grace_s
        return db_steering.cancel(self._connection.database, job_id, actor, reason, grace_s=grace_s)

    def hold(self, reference: str | int) -> JobState:
        """Keep a job that waits from starting, until it is released.

        Raises:
            WrongState: it runs or has ended.
        """
        job_id, actor = self.find_one(reference), self._connection.actor
        return db_steering.hold(self._connection.database, job_id, actor)

    def release(self, reference: str | int) -> JobState:
        """Let a held job go.

        Returns:
            `queued`, or `held` while it waits for other jobs.
        Raises:
            WrongState: it runs or has ended.
        """
        return steering.release(self._connection, self.find_one(reference))

    def move(
        self,
        reference: str | int,
        *,
        priority: int | None = None,
        queue: str | None = None,
        top: bool = False,
    ) -> JobState:
        """Give a job that waits another place.

        Args:
            reference: the job.
            priority: higher runs first.
            queue: to go to.
            top: before all others of its queue.
        Returns:
            Its state: `queued` or `held`.
        Raises:
            WrongState: it runs or has ended.
        """
        job_id = self.find_one(reference)
        return steering.move(self._connection, job_id, priority=priority, queue=queue, top=top)

    def retry(self, reference: str | int, *, fresh: bool = False) -> JobState:
        """Queue a failed or cancelled job again; it goes on from its last good state.

        Args:
            reference: the job.
            fresh: begin at the first epoch.
        Raises:
            WrongState: it waits, runs or has succeeded.
        """
        return steering.retry(self._connection, self.find_one(reference), fresh=fresh)

    def queues(self) -> list[dict[str, Any]]:
        """Every queue that has jobs, workers or a rule: the rows of `fornada queue ls`."""
        return queues.ls(self._connection.database, self.settings.alive_s)

    def pause_queue(self, name: str) -> None:
        """Start no more jobs of a queue; those that run go on."""
        queues.pause(self._connection.database, name, self._connection.actor)

    def resume_queue(self, name: str) -> None:
        """Start jobs of a queue again."""
        steering.resume_queue(self._connection, name)

    def set_max_running(self, name: str, count: int | None) -> None:
        """Let at most so many jobs of a queue run at a time.

        Args:
            name: of the queue.
            count: at least 1; None takes the limit away.
        """
        steering.set_max_running(self._connection, name, count)

    def drain_worker(self, name_or_host: str) -> list[str]:
        """Ask workers to end: their jobs are saved and queued again.

        Args:
            name_or_host: a worker's name, or a host for all workers on it.
        Returns:
            Names of those that were asked.
        Raises:
            WorkerNotFound: none that is alive goes by it.
        """
        return steering.drain_worker(self._connection, name_or_host)

    # Asking the history.

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
            self._connection.database,
            states=[JobState(state) for state in states],
            tags=dict(tags or {}),
            name=name,
            since=since,
            sort=sort,
            descending=descending,
            after=after,
            limit=limit,
        )
        self._connection.mark(page.rows)
        return page

    def alive(self) -> list[dict[str, Any]]:
        """Jobs that wait or run, with why they wait."""
        rows = live.alive(self._connection.database, within_s=self.settings.alive_s)
        self._connection.mark(rows)
        return rows

    def metrics(self, reference: str | int) -> dict[str, Any]:
        """Every epoch of a job: the document of `fornada metrics --json`."""
        job_id = self.find_one(reference)
        return {"id": job_id, "epochs": history.epochs(self._connection.database, job_id)}

    def events(self, reference: str | int) -> list[dict[str, Any]]:
        """What happened to a job, oldest first: at, kind, actor, detail."""
        return history.events(self._connection.database, self.find_one(reference))

    def workers(self) -> list[dict[str, Any]]:
        """Workers that are alive: heard of within three beats of upkeep.

        `state` is `starting`, `draining`, `busy` when no slot is free, or `idle`.
        """
        return workers.alive(self._connection.database, self.settings.alive_s)
