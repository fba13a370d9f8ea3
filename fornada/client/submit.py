"""Queueing jobs: all that may refuse one of them, their rows, and the wake-ups."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from fornada.client.connection import Connection
from fornada.client.submission import Submitted, Terms, new_job
from fornada.client.trained import TrainedJobs
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

# Jobs of one transaction; an SQLite file is locked for a tenth of a second by it.
BATCH = 100
# How long a database that went away during a commit is asked what became of it.
IN_DOUBT_S = 10.0
UNDECIDED = (
    "The database went away as it recorded the jobs: {why}. Nobody knows whether they are queued.\n"
    "  When it is back `fornada ls` shows; with --key, to submit again queues none twice."
)


class Submission:
    """Queues jobs, all on the same terms.

    Args:
        connection: to the record and the broker.
        terms: when the jobs may start.
    """

    def __init__(self, connection: Connection, terms: Terms) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._database = connection.database
        self._terms = terms

    def queue(
        self,
        specs: Sequence["Spec"],
        *,
        needed: bool,
        wait_for_worker: bool,
        warn: Callable[["Problem"], None],
        accepted: Callable[["Spec", Submitted], None],
    ) -> list[Submitted]:
        """Queue one job for each spec; see `Client.submit_all`."""
        from fornada.data import inspection
        from fornada.stack import broker

        if not self._settings.embedded:
            # Refused now, rather than accepted and never told to any worker.
            broker.broker_url(self._settings)
        trained = TrainedJobs(self._settings, self._database)
        found = [trained.find(spec) if needed else None for spec in specs]
        key = self._terms.key
        known = key is not None and history.has_key(self._database, key)
        new = [spec for spec, job in zip(specs, found, strict=True) if not (job or known)]
        of_folders = iter(inspection.before_submit(self._settings, new, warn))
        if not wait_for_worker:
            self._refuse_never(new)
        queued: list[Submitted] = []
        for begin in range(0, len(specs), BATCH):
            part = list(zip(specs, found, strict=True))[begin : begin + BATCH]
            news = [new_job(spec, self._terms) for spec, job in part if not job]
            added = iter(zip(news, self._accept(news), strict=True))
            for spec, job in part:
                said = job or trained.explained(spec, self._added(*next(added)))
                folders = () if job or known else next(of_folders)
                queued.append(replace(said, warnings=(*spec.warnings, *folders)))
                accepted(spec, queued[-1])
        return queued

    def _added(self, new: NewJob, job_id: int) -> Submitted:
        try:
            return self._told(new, job_id)
        except DatabaseUnreachable as error:
            # It is queued, and must not be called refused.
            return Submitted(job_id, new.uid, f"the database went away then: {why(error)}")

    def _told(self, new: NewJob, job_id: int) -> Submitted:
        """What there is to say of a job that was recorded now, or was known by its key."""
        terms = self._terms
        if terms.key is not None:
            known = documents.job(self._database, job_id)
            if known["uid"] != new.uid:
                same = known["spec_hash"] == new.spec_hash
                warning = None if same else f"job {job_id} has another spec than this one"
                return Submitted(job_id, known["uid"], warning, known_by="key")
        if terms.waits:
            # Nobody can claim it now; upkeep tells the workers when somebody can.
            return Submitted(job_id, new.uid, self._called_off(job_id) if terms.after else None)
        return Submitted(
            job_id, new.uid, self._connection.wake_ups.send(new.queue, new.uid, vars(new))
        )

    def _accept(self, news: Sequence[NewJob]) -> list[int]:
        """Add jobs, once more when nobody answered.

        Their commit may have been done and only the answer lost: the same uids again change
        nothing, and tell. Otherwise jobs would run of which was said that they are refused.

        Raises:
            DatabaseUnreachable: none was added.
            Undecided: after a lost answer the database stayed away.
        """
        add = partial(jobs.add_all, self._database, news, self._connection.actor)
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

        if self._settings.embedded and not local.running(self._settings):
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
        alive = workers.alive(self._database, self._settings.alive_s)
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
