"""Queue jobs: check them, insert their rows, and wake workers."""

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

# Jobs per transaction. A transaction of this size locks an SQLite file for about 0.1 s.
BATCH = 100
# Seconds for which we try to learn the result of a commit that the database did not answer.
IN_DOUBT_S = 10.0
UNDECIDED = (
    "The database went down while it recorded the jobs: {why}. Nobody knows whether they are "
    "queued.\n"
    "  When it is back, `fornada ls` shows them. With --key you can submit again without queueing "
    "a job twice."
)


class Submission:
    """Queues jobs, all on the same terms.

    Args:
        connection: reaches the database and the broker.
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
            # Raises SettingsError if there is no broker: otherwise jobs would be accepted, and
            # workers would never be woken for them.
            broker.broker_url(self._settings)
        trained = TrainedJobs(self._settings, self._database)
        found = [trained.find(spec) if needed else None for spec in specs]
        key = self._terms.key
        known = key is not None and history.has_key(self._database, key)
        new = [spec for spec, job in zip(specs, found, strict=True) if not (job or known)]
        folder_warnings = iter(inspection.before_submit(self._settings, new, warn))
        if not wait_for_worker:
            self._refuse_unrunnable(new)
        queued: list[Submitted] = []
        for begin in range(0, len(specs), BATCH):
            part = list(zip(specs, found, strict=True))[begin : begin + BATCH]
            new_jobs = [new_job(spec, self._terms) for spec, job in part if not job]
            added = iter(zip(new_jobs, self._add(new_jobs), strict=True))
            for spec, job in part:
                submitted = job or trained.explained(spec, self._submitted(*next(added)))
                of_folders = () if job or known else next(folder_warnings)
                queued.append(replace(submitted, warnings=(*spec.warnings, *of_folders)))
                accepted(spec, queued[-1])
        return queued

    def _submitted(self, new: NewJob, job_id: int) -> Submitted:
        try:
            return self._wake_or_explain(new, job_id)
        except DatabaseUnreachable as error:
            # The job is already recorded, so an error here must not look like a refusal.
            return Submitted(job_id, new.uid, f"the database went down after that: {why(error)}")

    def _wake_or_explain(self, new: NewJob, job_id: int) -> Submitted:
        """Wake a worker for a recorded job, or say why nobody needs to be woken."""
        terms = self._terms
        if terms.key is not None:
            known = documents.job(self._database, job_id)
            if known["uid"] != new.uid:
                same = known["spec_hash"] == new.spec_hash
                warning = None if same else f"job {job_id} has another spec than this one"
                return Submitted(job_id, known["uid"], warning, known_by="key")
        if terms.waits:
            # No worker can claim the job now. Upkeep wakes one when the job may start.
            return Submitted(job_id, new.uid, self._cancelled(job_id) if terms.after else None)
        return Submitted(
            job_id, new.uid, self._connection.wake_ups.send(new.queue, new.uid, vars(new))
        )

    def _add(self, new_jobs: Sequence[NewJob]) -> list[int]:
        """Insert jobs; try again if the database did not answer.

        The commit may have succeeded although its answer was lost. Inserting the same uids again
        changes nothing and returns their ids, so it is safe. Without it, the command could report
        jobs as refused although they are queued and will run.

        Returns:
            The ids of the jobs.
        Raises:
            DatabaseUnreachable: no job was added.
            Undecided: the answer to a commit was lost, and the database stayed down.
        """
        add = partial(jobs.add_all, self._database, new_jobs, self._connection.actor)
        for last in (False, True):
            try:
                return add()
            except DatabaseUnreachable as error:
                if error.in_doubt:
                    break
                if last:
                    raise
        return self._add_after_lost_answer(add)

    def _add_after_lost_answer(self, add: Callable[[], list[int]]) -> list[int]:
        """Repeat an insert whose answer was lost until the database answers.

        Raises:
            Undecided: the database stayed down.
        """
        try:
            return Patience(end=time.monotonic() + IN_DOUBT_S)(add)
        except DatabaseUnreachable as error:
            raise Undecided(UNDECIDED.format(why=why(error))) from error

    def _cancelled(self, job_id: int) -> str | None:
        """Why the new job is already cancelled; None if it is not.

        A new job is cancelled at once when a job of `after` has already ended without success.
        """
        job = documents.job(self._database, job_id)
        if job["state"] != JobState.CANCELLED:
            return None
        return f"job {job_id} is already cancelled: {job['cancel_reason']}"

    def _refuse_unrunnable(self, specs: Iterable["Spec"]) -> None:
        """Refuse the specs that no existing worker could ever run.

        Raises:
            NeverScheduled: names all of them.
        """
        from fornada.stack import stack_lock

        if self._settings.embedded and not stack_lock.running(self._settings):
            # No stack is up, so we do not know which workers the next stack will have.
            return
        wants: dict[tuple[str, str], list[str]] = defaultdict(list)
        for spec in specs:
            wants[spec.resources.queue, str(spec.resources.gpus)].append(spec.name)
        refused = [
            self._refusal(queue, name, reason)
            for (queue, gpus), names in wants.items()
            if (reason := fleet.never_runs(self._database, queue, gpus))
            for name in names
        ]
        if refused:
            raise NeverScheduled("\n".join([*refused, self._fleet(), ADVICE]))

    def _refusal(self, queue: str, name: str, reason: Unfit) -> str:
        if isinstance(reason, NeedsGpu):
            return f'"{name}" needs a GPU, and no worker of queue {queue} has one.'
        return f'"{name}" goes to queue {queue}, and no worker serves that queue.'

    def _fleet(self) -> str:
        alive = workers.alive(self._database, self._settings.alive_s)
        if not alive:
            return "  No worker is alive, and no worker of the last 30 days could have run it."
        return "\n".join(
            f"  {worker['name']} serves {', '.join(worker['queues'])} "
            f"with {', '.join(slot['name'] for slot in worker['slots'])}."
            for worker in alive
        )


ADVICE = (
    "  Use another queue (--queue), do without a GPU (--set resources.gpus=auto), or queue the job "
    "for a worker that will start later: --wait-for-worker."
)
