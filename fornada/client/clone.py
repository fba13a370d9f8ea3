"""New jobs from old ones: clone, extend."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fornada.client.submission import AT_ONCE, Submitted, Terms
from fornada.client.submit import Submitting
from fornada.db.records import TRAINING_STATE
from fornada.db.states import JobState, StopReason
from fornada.errors import NotExtendable

if TYPE_CHECKING:
    from fornada.spec import Spec


class Again(Submitting):
    """Makes new jobs from recorded ones."""

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
        return next(self.submit_all([spec], terms=terms, wait_for_worker=wait_for_worker))

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
        self._refuse_to_extend(job)
        wanted = job["spec"]["fit"]["epochs"] + epochs
        spec = self.recorded(job["id"], overrides=[f"fit.epochs={wanted}"])
        terms = Terms(continues=job["id"])
        return next(self.submit_all([spec], terms=terms, wait_for_worker=wait_for_worker))

    def recorded(self, reference: str | int, *, overrides: Sequence[str] = ()) -> "Spec":
        """The spec of a job as it was recorded, with changes.

        Raises:
            JobNotFound: there is no such job.
            SpecProblems: the changed spec is invalid.
        """
        from fornada.spec import files

        job = self.show(reference)
        name = f"job {job['id']}"
        return files.recorded(self.settings, job["spec"], name=name, overrides=overrides)

    def _refuse_to_extend(self, job: Mapping[str, Any]) -> None:
        job_id, state = job["id"], job["state"]
        if state != JobState.SUCCEEDED:
            then = (
                f"Start it again from its last state: fornada retry {job_id}"
                if state in {JobState.FAILED, JobState.CANCELLED}
                else f"Wait for its end: fornada wait {job_id}"
            )
            raise NotExtendable(
                f"job {job_id} is {state}: only one that has succeeded can go on. {then}"
            )
        if job["stop_reason"] == StopReason.EARLY_STOPPING:
            raise NotExtendable(
                f"job {job_id} stopped early at epoch {job['epochs_run']} of "
                f"{job['spec']['fit']['epochs']}: going on would stop at once. Train it anew with "
                f"more patience: fornada clone {job_id} --set callbacks.EarlyStopping.patience=N"
            )
        if not self._has_state(job):
            raise NotExtendable(
                f"the training state that job {job_id} ended with is not kept any more (or its "
                f"trainer kept none). Train it anew: fornada clone {job_id} --set fit.epochs=N"
            )

    def _has_state(self, job: Mapping[str, Any]) -> bool:
        found = [one for one in job["artifacts"] if one["kind"] == TRAINING_STATE]
        # Where this machine does not see the files, the record is all there is to go by.
        return any(one["exists"] is not False for one in found)
