"""Steering the queue: what people ask of jobs, queues and workers."""

from collections.abc import Callable
from typing import Any

from fornada.client.wake_ups import Waking
from fornada.db.errors import WrongState
from fornada.db.queue import queues, steering, upkeep, workers
from fornada.db.reads import documents
from fornada.db.states import JobState
from fornada.errors import WorkerNotFound


class Steering(Waking):
    """Moves jobs, queues and workers."""

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
        job_id = self.find_one(reference)
        grace_s = 0.0 if force else grace_s
        return steering.cancel(self._database, job_id, self.actor, reason, grace_s=grace_s)

    def hold(self, reference: str | int) -> JobState:
        """Keep a job that waits from starting, until it is released.

        Raises:
            WrongState: it runs or has ended.
        """
        return steering.hold(self._database, self.find_one(reference), self.actor)

    def release(self, reference: str | int) -> JobState:
        """Let a held job go.

        Returns:
            `queued`, or `held` while it waits for other jobs.
        Raises:
            WrongState: it runs or has ended.
        """
        return self._moved(reference, steering.release)

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
        steering.move(self._database, job_id, self.actor, priority=priority, queue=queue, top=top)
        return self._wake_for(job_id)

    def retry(self, reference: str | int, *, fresh: bool = False) -> JobState:
        """Queue a failed or cancelled job again; it goes on from its last good state.

        Args:
            reference: the job.
            fresh: begin at the first epoch.
        Raises:
            WrongState: it waits, runs or has succeeded.
        """
        try:
            return self._moved(reference, steering.retry, fresh=fresh)
        except WrongState as error:
            if error.state is not JobState.SUCCEEDED:
                raise
            job_id = error.job_id
            because = (
                "there is nothing to retry. "
                f"Train it further: fornada extend {job_id} --epochs +N. "
                f"Train it anew: fornada clone {job_id}"
            )
            raise WrongState(job_id, error.state, error.wanted, because) from None

    def queues(self) -> list[dict[str, Any]]:
        """Every queue that has jobs, workers or a rule: the rows of `fornada queue ls`."""
        return queues.ls(self._database, self.settings.alive_s)

    def pause_queue(self, name: str) -> None:
        """Start no more jobs of a queue; those that run go on."""
        queues.pause(self._database, name, self.actor)

    def resume_queue(self, name: str) -> None:
        """Start jobs of a queue again."""
        queues.resume(self._database, name, self.actor)
        self._wake_all(name)

    def set_max_running(self, name: str, count: int | None) -> None:
        """Let at most so many jobs of a queue run at a time.

        Args:
            name: of the queue.
            count: at least 1; None takes the limit away.
        """
        queues.set_max_running(self._database, name, count, self.actor)
        self._wake_all(name)

    def drain_worker(self, name_or_host: str) -> list[str]:
        """Ask workers to end: their jobs are saved and queued again.

        Args:
            name_or_host: a worker's name, or a host for all workers on it.
        Returns:
            Names of those that were asked.
        Raises:
            WorkerNotFound: none that is alive goes by it.
        """
        asked = workers.request_drain(
            self._database, name_or_host, self.actor, self.settings.alive_s
        )
        if not asked:
            raise WorkerNotFound(
                f"no worker alive is called {name_or_host}, nor its host; see fornada worker ls"
            )
        return asked

    def _moved(self, reference: str | int, move: Callable[..., JobState], **how: Any) -> JobState:
        job_id = self.find_one(reference)
        state = move(self._database, job_id, self.actor, **how)
        self._wake_for(job_id)
        return state

    def _wake_for(self, job_id: int) -> JobState:
        """Tell a worker of a job that waits in its queue now; the job's state."""
        job = documents.job(self._database, job_id)
        state = JobState(job["state"])
        if state is JobState.QUEUED:
            # Nothing to warn of: upkeep tells the workers if this does not.
            self._wake(job["queue"], job["uid"])
        return state

    def _wake_all(self, queue: str) -> None:
        """Wake as many slots as there are jobs for them."""
        waiting = upkeep.claimable(self._database)
        idle = workers.idle_slots(self._database, self.settings.alive_s)
        for _ in range(min(waiting.get(queue, 0), idle.get(queue, 0))):
            if self._wake(queue):
                return
