"""Queueing jobs."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from fornada.client.submission import AT_ONCE, Submitted, Terms, new_job
from fornada.client.trained import TrainedJobs
from fornada.client.wake_ups import Waking
from fornada.db.errors import DatabaseUnreachable
from fornada.db.queue import fleet, jobs, workers
from fornada.db.reads import documents, history
from fornada.db.reasons import NeedsGpu, Unfit
from fornada.db.records import NewJob
from fornada.db.states import JobState
from fornada.errors import NeverScheduled, Undecided
from fornada.patience import Patience, why

if TYPE_CHECKING:
    from fornada.spec import Problem, Spec
    from fornada.spec.files import Source

# Jobs of one transaction; an SQLite file is locked for a tenth of a second by it.
BATCH = 100
# How long a database that went away during a commit is asked what became of it.
IN_DOUBT_S = 10.0
UNDECIDED = (
    "The database went away as it recorded the jobs: {why}. Nobody knows whether they are queued.\n"
    "  When it is back `fornada ls` shows; with --key, to submit again queues none twice."
)


class Submitting(Waking):
    """Reads specs and queues jobs."""

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
        return next(
            self.submit_all([read], terms=terms, needed=needed, wait_for_worker=wait_for_worker)
        )

    def submit_all(
        self,
        specs: Iterable["Spec"],
        *,
        terms: Terms = AT_ONCE,
        needed: bool = False,
        wait_for_worker: bool = False,
        warn: Callable[["Problem"], None] = lambda problem: None,
    ) -> Iterator[Submitted]:
        """Queue one job for each spec, all on the same terms; see `submit`.

        What refuses one of them refuses all, before any is queued; a database that goes away
        between two transactions of a hundred leaves those that were returned.

        Args:
            specs: of the jobs.
            terms: of all of them.
            needed: as of `submit`.
            wait_for_worker: as of `submit`.
            warn: told at once what is most likely not meant in the folders of the specs, also
                where a problem refuses them.
        """
        from fornada.data import inspection
        from fornada.stack import broker

        read = list(specs)
        if not self.settings.embedded:
            # Refused now, rather than accepted and never told to any worker.
            broker.broker_url(self.settings)
        kept = TrainedJobs(self.settings, self._database)
        trained = [kept.find(spec) if needed else None for spec in read]
        known = terms.key is not None and history.has_key(self._database, terms.key)
        new = [spec for spec, job in zip(read, trained, strict=True) if not (job or known)]
        looked = iter(inspection.before_submit(self.settings, new, warn))
        if not wait_for_worker:
            self._refuse_never(new)
        done = list(zip(read, trained, strict=True))
        for begin in range(0, len(done), BATCH):
            part = done[begin : begin + BATCH]
            news = [new_job(spec, terms) for spec, job in part if not job]
            ids = self._accept(news)
            added = zip(news, ids, strict=True)
            for spec, job in part:
                said = job or kept.explained(spec, self._added(*next(added), terms))
                folders = () if job or known else next(looked)
                yield replace(said, warnings=(*spec.warnings, *folders))

    def _added(self, new: NewJob, job_id: int, terms: Terms) -> Submitted:
        try:
            return self._told(new, job_id, terms)
        except DatabaseUnreachable as error:
            # It is queued, and must not be called refused.
            return Submitted(job_id, new.uid, f"the database went away then: {why(error)}")

    def _told(self, new: NewJob, job_id: int, terms: Terms) -> Submitted:
        """What there is to say of a job that was recorded now, or was known by its key."""
        if terms.key is not None:
            known = documents.job(self._database, job_id)
            if known["uid"] != new.uid:
                same = known["spec_hash"] == new.spec_hash
                warning = None if same else f"job {job_id} has another spec than this one"
                return Submitted(job_id, known["uid"], warning, known_by="key")
        if terms.waits:
            # Nobody can claim it now; upkeep tells the workers when somebody can.
            return Submitted(job_id, new.uid, self._called_off(job_id) if terms.after else None)
        return Submitted(job_id, new.uid, self._wake(new.queue, new.uid, vars(new)))

    def _accept(self, news: Sequence[NewJob]) -> list[int]:
        """Add jobs, once more when nobody answered.

        Their commit may have been done and only the answer lost: the same uids again change
        nothing, and tell. Otherwise jobs would run of which was said that they are refused.

        Raises:
            DatabaseUnreachable: none was added.
            Undecided: after a lost answer the database stayed away.
        """
        add = partial(jobs.add_all, self._database, news, self.actor)
        for last in (False, True):
            try:
                return add()
            except DatabaseUnreachable as error:
                if error.in_doubt:
                    break
                if last:
                    raise
        return self._settled(add)

    def _settled(self, add: Callable[[], list[int]]) -> list[int]:
        """What became of a commit that nobody answered.

        Raises:
            Undecided: the database stayed away.
        """
        try:
            return Patience(end=time.monotonic() + IN_DOUBT_S)(add)
        except DatabaseUnreachable as error:
            raise Undecided(UNDECIDED.format(why=why(error))) from error

    def _called_off(self, job_id: int) -> str | None:
        """Why a job was cancelled as soon as it was accepted, if it was."""
        job = documents.job(self._database, job_id)
        if job["state"] != JobState.CANCELLED:
            return None
        return f"job {job_id} is cancelled already: {job['cancel_reason']}"

    def _refuse_never(self, specs: Iterable["Spec"]) -> None:
        """Refuse what no worker there is could ever run.

        Raises:
            NeverScheduled: with all of them.
        """
        from fornada.stack import local

        if self.settings.embedded and not local.running(self.settings):
            # Whatever comes up next on this machine is not known yet.
            return
        wants: dict[tuple[str, str], list[str]] = defaultdict(list)
        for spec in specs:
            wants[spec.resources.queue, str(spec.resources.gpus)].append(spec.name)
        refused = [
            self._never(queue, name, reason)
            for (queue, gpus), names in wants.items()
            if (reason := fleet.never_runs(self._database, queue, gpus))
            for name in names
        ]
        if refused:
            raise NeverScheduled("\n".join([*refused, self._fleet(), NEVER_MIND]))

    def _never(self, queue: str, name: str, reason: Unfit) -> str:
        if isinstance(reason, NeedsGpu):
            return f'"{name}" needs a GPU, and no worker of queue {queue} has one.'
        return f'"{name}" goes to queue {queue}, and no worker serves that.'

    def _fleet(self) -> str:
        alive = workers.alive(self._database, self.settings.alive_s)
        if not alive:
            return "  No worker is alive now; those of the last 30 days could not run it either."
        return "\n".join(
            f"  {one['name']} serves {', '.join(one['queues'])} "
            f"with {', '.join(slot['name'] for slot in one['slots'])}."
            for one in alive
        )


NEVER_MIND = (
    "  Name another queue (--queue) or GPU (--set resources.gpus=auto), or queue it all the same "
    "for a worker to come: --wait-for-worker."
)
