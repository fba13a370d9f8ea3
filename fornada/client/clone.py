"""The specs of new jobs that are made from old ones: clone, extend."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fornada.client.connection import Connection
from fornada.db.records import TRAINING_STATE
from fornada.db.states import JobState, StopReason
from fornada.errors import NotExtendable

if TYPE_CHECKING:
    from fornada.spec import Spec


def recorded(connection: Connection, job_id: int, overrides: Sequence[str] = ()) -> "Spec":
    """The spec of a job as it was recorded, with changes.

    Raises:
        JobNotFound: there is no such job.
        SpecProblems: the changed spec is invalid.
    """
    from fornada.spec import files

    spec = connection.document(job_id)["spec"]
    return files.recorded(connection.settings, spec, name=f"job {job_id}", overrides=overrides)


def refuse_to_extend(job: Mapping[str, Any]) -> None:
    """Refuse to go on from a job that cannot be gone on from.

    Args:
        job: its document.
    Raises:
        NotExtendable: it has not succeeded, it stopped early, or its last state is gone.
    """
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
    if not _has_state(job):
        raise NotExtendable(
            f"the training state that job {job_id} ended with is not kept any more (or its "
            f"trainer kept none). Train it anew: fornada clone {job_id} --set fit.epochs=N"
        )


def _has_state(job: Mapping[str, Any]) -> bool:
    found = [one for one in job["artifacts"] if one["kind"] == TRAINING_STATE]
    # Where this machine does not see the files, the record is all there is to go by.
    return any(one["exists"] is not False for one in found)
