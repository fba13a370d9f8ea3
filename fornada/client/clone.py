"""What `clone` and `extend` need from an old job: its spec, and whether it can be extended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fornada.client.connection import Connection
from fornada.db.answers import JobAnswer
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


def refuse_to_extend(job: JobAnswer) -> None:
    """Refuse to extend a job whose training cannot be continued.

    Args:
        job: the document of the job.
    Raises:
        NotExtendable: the job has not succeeded, it stopped early, or its last training state is
            gone.
    """
    job_id, state = job["id"], job["state"]
    if state != JobState.SUCCEEDED:
        advice = (
            f"Start it again from its last state: fornada retry {job_id}"
            if state in {JobState.FAILED, JobState.CANCELLED}
            else f"Wait for its end: fornada wait {job_id}"
        )
        raise NotExtendable(
            f"job {job_id} is {state}: only a job that has succeeded can be extended. {advice}"
        )
    if job["stop_reason"] == StopReason.EARLY_STOPPING:
        raise NotExtendable(
            f"job {job_id} stopped early at epoch {job['epochs_run']} of "
            f"{job['spec']['fit']['epochs']}: more epochs would stop at once. Train it from the "
            f"start with more patience: "
            f"fornada clone {job_id} --set callbacks.EarlyStopping.patience=N"
        )
    if not _has_state(job):
        raise NotExtendable(
            f"the last training state of job {job_id} no longer exists (or its trainer kept "
            f"none). Train it from the start: fornada clone {job_id} --set fit.epochs=N"
        )


def _has_state(job: JobAnswer) -> bool:
    states = [artifact for artifact in job["artifacts"] if artifact["kind"] == TRAINING_STATE]
    # `exists` is None if this machine does not see the files: then trust the record.
    return any(state["exists"] is not False for state in states)
