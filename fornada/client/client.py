"""The `Client` class, with which a program does all that the command line does with jobs.

from fornada import Client

client = Client()
job = client.submit("specs/digits.yaml", tags={"owner": "ana"})
print(client.wait(job.id)["best"]["path"])
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Self

from fornada.client import follow, logs, resumption, steering
from fornada.client.clone import patience_warnings, recorded, refuse_to_extend
from fornada.client.connection import Connection
from fornada.client.follow import Progress
from fornada.client.logs import Piece
from fornada.client.submission import (
    AT_ONCE,
    LONGEST_REASON,
    Submitted,
    Terms,
    problem_of,
    require_zone,
)
from fornada.client.submit import Submission
from fornada.db.answers import (
    EventAnswer,
    JobAnswer,
    LiveAnswer,
    MetricsAnswer,
    QueueAnswer,
    WorkerAnswer,
)
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
    from fornada.spec.files import Changes, Source

__all__ = ["Client", "Piece", "Progress", "Submitted", "Terms"]


class Client:
    """Submits jobs, follows them, steers them and reads their history.

    A job is named by its id, by the beginning of its uid (at least four characters), or by `@last`.
    Beside the errors that it names, each method raises DatabaseUnreachable if the database does not
    answer, and SchemaMismatch if it has another schema than this version needs.

    Args:
        settings: where the database, the broker and the artifacts are; default: the settings of
            the environment and of `config.toml`.

    Example:
        >>> from fornada import Client
        >>> with Client() as client:  # doctest: +SKIP
        ...     job = client.submit("specs/digits.yaml", overrides={"data.batch_size": 128})
        ...     client.wait(job.id)["test"]["metrics"]
        {'sparse_categorical_accuracy': 0.964}
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._connection = Connection(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database and to Redis."""
        self._connection.close()

    # Naming jobs.

    def find(self, references: Iterable[str | int]) -> list[int]:
        """The ids of the jobs that ids, uid prefixes, ranges such as `12-20`, or `@last` name.

        Args:
            references: ids, the beginnings of uids, ranges such as `12-20`, or `@last`.
        Raises:
            BadReference: a reference is a malformed range, or a list with commas.
            JobNotFound: a reference names no job.
            AmbiguousReference: a uid prefix names several jobs.
        """
        return job_references.resolve(self._connection.database, map(str, references))

    def find_one(self, reference: str | int) -> int:
        """The id of the one job that an id, a uid prefix or `@last` names.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
        Raises:
            BadReference: the reference is a range, or a list with commas.
            JobNotFound: the reference names no job.
            AmbiguousReference: the uid prefix names several jobs.
        """
        return job_references.find(self._connection.database, str(reference))

    def show(self, reference: str | int) -> JobAnswer:
        """Everything that is recorded about a job: the document of `fornada show --json`.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
        Raises:
            JobNotFound: there is no such job.
        """
        return self._connection.document(self.find_one(reference))

    # Queueing jobs.

    def load(self, source: "Source", *, overrides: "Changes" = ()) -> "Spec":
        """Read and check a spec.

        Args:
            source: a file, a document, or a spec that was already read.
            overrides: changes such as `data.batch_size=128`, checked like the file; also as
                `{"data.batch_size": 128}`.
        Raises:
            SpecProblems: the spec is invalid; the error lists all its problems.
        """
        # Imported here: it loads the catalogue of layers, which takes time, and a program that only
        # reads the history does not need it.
        from fornada.spec import files

        return files.load(self.settings, source, overrides=files.changes_of(overrides))

    def submit(  # noqa: PLR0913 - each is a field of its own
        self,
        spec: "Source",
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        time_limit_s: float | None = None,
        overrides: "Changes" = (),
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
            spec: a file, a document, or a spec that was already read.
            name: the job's name; default: the spec's name.
            tags: tags to add to the spec's tags.
            queue: the job's queue; default: the spec's queue.
            priority: jobs with a higher priority run first; default: the spec's priority.
            time_limit_s: the job's time limit in seconds; default: the spec's time limit.
            overrides: more changes, such as `["data.batch_size=128"]` or
                `{"data.batch_size": 128}`.
            key: any text; if a job already has this key, that job is returned and no new one made.
            held: hold the job until somebody releases it.
            not_before: start no earlier than this; a datetime with a time zone.
            after: jobs that must succeed first; if one does not, the new job is cancelled.
            after_any: the jobs of `after` only have to end, and need not succeed.
            needed: if a job has already trained the same spec on the same data, and its files
                still exist, return that job.
            wait_for_worker: accept the job even if no existing worker could ever run it.
        Returns:
            The accepted job. It carries the spec's warnings. It also carries a warning if Redis was
            down, or if an equal job was trained before but its files are gone.
        Raises:
            SpecProblems: the spec is invalid, or its folders on this host are; no job was accepted.
            DatabaseUnreachable: no job was accepted.
            Undecided: the database was down for too long during the commit, so nobody knows whether
                the job was accepted; with `key` it is safe to submit again.
            SettingsError: the settings name a database but no broker; no job was accepted.
            NeverScheduled: no existing worker could ever run the job; no job was accepted.
            JobNotFound: a reference in `after` names no job; no job was accepted.
            DataUnreadable: `needed` compares the data, and this host cannot read it.
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

        All checks run before the first job is queued, so an error in one spec refuses all of them.
        Jobs are recorded in transactions of 100. If the database goes down between two
        transactions, the jobs that `accepted` was called with are queued and the rest are not.

        Args:
            specs: the specs of the jobs.
            terms: when all these jobs may start.
            needed: see `submit`.
            wait_for_worker: see `submit`.
            warn: called at once with each likely mistake in the folders of the specs, even if a
                problem refuses the jobs.
            accepted: called with each job as soon as it is recorded.
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
        overrides: "Changes" = (),
        terms: Terms = AT_ONCE,
        wait_for_worker: bool = False,
    ) -> Submitted:
        """Queue a new job from the spec of an old one, in whatever state the old one is.

        Args:
            reference: the old job.
            overrides: changes such as `data.batch_size=128`, checked as in a file.
            terms: when the new job may start.
            wait_for_worker: see `submit`.
        Raises:
            JobNotFound: there is no such job.
            SpecProblems: the changed spec is invalid; no job was accepted.
            NeverScheduled: see `submit`.
        """
        spec = self.recorded(reference, overrides=overrides)
        (job,) = self.submit_all([spec], terms=terms, wait_for_worker=wait_for_worker)
        return job

    def extend(
        self, reference: str | int, epochs: int, *, wait_for_worker: bool = False
    ) -> Submitted:
        """Queue a new job that continues training where a finished job ended.

        Ten epochs and ten more give the same result as twenty, with early stopping too.

        Args:
            reference: the finished job.
            epochs: how many more epochs to train, at least 1.
            wait_for_worker: see `submit`.
        Raises:
            JobNotFound: there is no such job.
            NotExtendable: the job has not succeeded, it stopped early, or its last training state
                is gone.
            ValueError: `epochs` is no whole number, or less than 1.
        """
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"epochs is {epochs!r}; expected a whole number, 1 or more")
        job = self.show(reference)
        refuse_to_extend(job)
        wanted = job["spec"]["fit"]["epochs"] + epochs
        spec = self.recorded(job["id"], overrides=[f"fit.epochs={wanted}"])
        terms = Terms(continues=job["id"])
        (extended,) = self.submit_all([spec], terms=terms, wait_for_worker=wait_for_worker)
        patience = patience_warnings(job, self.metrics(job["id"])["epochs"], epochs)
        return replace(extended, warnings=(*extended.warnings, *patience))

    def recorded(self, reference: str | int, *, overrides: "Changes" = ()) -> "Spec":
        """The spec of a job as it was recorded, with changes.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
            overrides: changes such as `["data.batch_size=128"]` or `{"data.batch_size": 128}`,
                checked as in a file.
        Raises:
            JobNotFound: there is no such job.
            SpecProblems: the changed spec is invalid.
        """
        from fornada.spec.files import changes_of

        changes = changes_of(overrides)
        return recorded(self._connection, self.find_one(reference), changes)

    # Following jobs.

    def follow(
        self,
        reference: str | int,
        *,
        timeout_s: float | None = None,
        look_s: float = follow.LOOK_S,
        tell: Tell = say_nothing,
    ) -> Iterator[Progress]:
        """Look at a job again and again until it has ended.

        If the database goes down meanwhile, this asks again until the database is back.

        Args:
            reference: the job.
            timeout_s: how long to follow at most, in seconds; None for no limit.
            look_s: pause between two looks, in seconds.
            tell: called once when the database is down and once when it is back.
        Raises:
            JobNotFound: there is no such job.
            WaitTimedOut: the job did not end in time.
        """
        job_id = self.find_one(reference)
        return follow.follow(
            self._connection, job_id, timeout_s=timeout_s, look_s=look_s, tell=tell
        )

    def wait(self, reference: str | int, *, timeout_s: float | None = None) -> JobAnswer:
        """Wait until a job has ended.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
            timeout_s: how long to wait at most, in seconds; None for no limit.
        Returns:
            Its document; `state` says how the job ended.
        Raises:
            JobNotFound: there is no such job.
            WaitTimedOut: the job did not end in time; it continues.
        """
        *_, last = self.follow(reference, timeout_s=timeout_s)
        return last.job

    def log(
        self, reference: str | int, *, attempt: int | None = None, tell: Tell = say_nothing
    ) -> Iterator[Piece]:
        """A job's log so far: the logs of all its attempts in order, or of one attempt.

        Args:
            reference: the job.
            attempt: number of the attempt; default: all attempts.
            tell: called once when the database is down and once when it is back.
        Raises:
            JobNotFound: there is no such job.
            NotStarted: no such attempt has begun to write a log.
            LogElsewhere: nothing of the log can be read here: its file is on a worker's host or
                gone, and the database has no copy.
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
        """A job's log as it grows, byte for byte, through all attempts until the job has ended.

        If the database goes down meanwhile, this asks again until the database is back. No byte is
        lost or repeated.

        Args:
            reference: the job.
            attempt: follow only the attempt with this number; default: all attempts.
            tell: called once when the database is down, once when it is back, and once when the job
                is lost: when its worker was killed and no other one has started.
            look_s: pause between two looks, in seconds.
        Raises:
            JobNotFound: there is no such job.
            NotStarted: the job has ended, and no attempt had begun to write a log.
            LogElsewhere: see `log`.
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
        """Cancel a job: at once if it waits, within seconds if it runs.

        Args:
            reference: the job; a job that is already cancelled stays cancelled.
            reason: recorded in the job's history; one line of at most 1,000 characters.
            grace_s: how many seconds its trainer may take to stop; None for the worker's default
                of 10 s.
            force: kill the trainer at once; its work since the last training state is lost.
        Returns:
            The job's state now: `running` until its trainer has stopped.
        Raises:
            JobNotFound: there is no such job.
            WrongState: the job has already ended, and was not cancelled.
            ValueError: the reason is empty, too long, or cannot be printed.
        """
        if reason is not None and (why := problem_of(reason, LONGEST_REASON)):
            raise ValueError(f"reason: {why}")
        job_id, actor = self.find_one(reference), self._connection.actor
        grace_s = 0.0 if force else grace_s
        return db_steering.cancel(self._connection.database, job_id, actor, reason, grace_s=grace_s)

    def hold(self, reference: str | int) -> JobState:
        """Keep a waiting job from starting until it is released.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
        Raises:
            JobNotFound: there is no such job.
            WrongState: the job runs or has ended.
        """
        job_id, actor = self.find_one(reference), self._connection.actor
        return db_steering.hold(self._connection.database, job_id, actor)

    def release(self, reference: str | int) -> JobState:
        """Let a held job start.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
        Returns:
            `queued`, or `held` while the job waits for other jobs.
        Raises:
            JobNotFound: there is no such job.
            WrongState: the job runs or has ended.
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
        """Give a waiting job another place in its queue, or another queue.

        Args:
            reference: the job.
            priority: the new priority; jobs with a higher priority run first.
            queue: the new queue.
            top: put the job before all other jobs of its queue.
        Returns:
            The job's state: `queued` or `held`.
        Raises:
            JobNotFound: there is no such job.
            WrongState: the job runs or has ended.
        """
        job_id = self.find_one(reference)
        return steering.move(self._connection, job_id, priority=priority, queue=queue, top=top)

    def retry(self, reference: str | int, *, fresh: bool = False) -> JobState:
        """Queue a failed or cancelled job again; it continues from its last good training state.

        Args:
            reference: the job.
            fresh: start again at the first epoch instead.
        Raises:
            JobNotFound: there is no such job.
            WrongState: the job waits, runs or has succeeded.
        """
        return steering.retry(self._connection, self.find_one(reference), fresh=fresh)

    def changed_images(self, reference: str | int) -> str | None:
        """Why a retry of a job begins at the first epoch: its images have changed since.

        None if they have not, if the job has trained no epoch, and with a server, whose data this
        host need not see.

        Args:
            reference: the job.
        Raises:
            JobNotFound: there is no such job.
        """
        return resumption.changed_images(self._connection, self.find_one(reference))

    def queues(self) -> list[QueueAnswer]:
        """Every queue that has jobs, workers, a pause or a limit: the rows of `queue ls --json`."""
        return queues.ls(self._connection.database, self.settings.alive_s, self._connection.dead)

    def pause_queue(self, name: str) -> None:
        """Start no more jobs from a queue; running jobs continue.

        Args:
            name: the queue's name; it need not have any jobs yet.
        """
        queues.pause(self._connection.database, name, self._connection.actor)

    def resume_queue(self, name: str) -> None:
        """Start jobs from a queue again.

        Args:
            name: the queue's name.
        """
        steering.resume_queue(self._connection, name)

    def set_max_running(self, name: str, count: int | None) -> None:
        """Limit how many jobs of a queue run at a time.

        Args:
            name: the queue's name.
            count: the limit, at least 1; None removes the limit.
        """
        steering.set_max_running(self._connection, name, count)

    def drain_worker(self, name_or_host: str) -> list[str]:
        """Ask workers to end: their jobs are saved and queued again.

        Args:
            name_or_host: the name of a worker, or of a host for all workers on it.
        Returns:
            The names of the workers that were asked.
        Raises:
            WorkerNotFound: no living worker and no host of one has this name.
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
        descending: bool | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        """One page of the history.

        Args:
            states: only jobs in these states; empty for all states.
            tags: only jobs that have all of these tags.
            name: only jobs with this name; `*` stands for any text.
            since: only jobs submitted at this time or later; a datetime with a time zone.
            sort: `time`, `duration`, or `metric:NAME` for the best value of a metric.
            descending: latest, longest or greatest first; default: latest, longest or best first.
            after: `next` of the page before this one; None for the first page.
            limit: the most rows to return.
        Returns:
            `rows`, each a dict, and `next`: the `after` of the next page, None on the last one.
        Raises:
            BadCursor: `after` does not come from a page with this order.
            ValueError: `since` is no datetime with a time zone.
        """
        if since is not None:
            require_zone("since", since)
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

    def alive(self) -> list[LiveAnswer]:
        """The jobs that wait or run, and why each one waits."""
        rows = live.alive(
            self._connection.database, within_s=self.settings.alive_s, dead=self._connection.dead
        )
        self._connection.mark(rows)
        return rows

    def metrics(self, reference: str | int) -> MetricsAnswer:
        """All epochs of a job: the document of `fornada metrics --json`.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
        Returns:
            `id` and `epochs`: each with `epoch` from 1, `seconds`, `images_per_s`,
            `learning_rate`, and `metrics` by name.
        Raises:
            JobNotFound: there is no such job.
        """
        job_id = self.find_one(reference)
        return {"id": job_id, "epochs": history.epochs(self._connection.database, job_id)}

    def events(self, reference: str | int) -> list[EventAnswer]:
        """The events of a job, oldest first, each with `at`, `kind`, `actor` and `detail`.

        Args:
            reference: the job: its id, the beginning of its uid, or `@last`.
        Raises:
            JobNotFound: there is no such job.
        """
        return history.events(self._connection.database, self.find_one(reference))

    def broker_problem(self) -> str | None:
        """Why Redis passes on no wake-ups now; None if it does, or if no stack is up here.

        Workers look for jobs in the database all the same, in each round of upkeep.
        """
        return self._connection.wake_ups.problem()

    def workers(self) -> list[WorkerAnswer]:
        """The living workers: those that reported within the last three rounds of upkeep.

        Workers of the embedded stack that were killed are left out at once.

        `state` is `starting`, `draining`, `busy` (no slot is free) or `idle`.
        """
        return workers.alive(
            self._connection.database, self.settings.alive_s, self._connection.dead
        )
