"""What `clone` and `extend` need from an old job: its spec, and whether it can be extended."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fornada.client.connection import Connection
from fornada.db.answers import EpochAnswer, JobAnswer
from fornada.db.records import TRAINING_STATE
from fornada.db.states import JobState, StopReason
from fornada.errors import NotExtendable

if TYPE_CHECKING:
    from fornada.spec import Problem, Spec


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


def patience_warnings(
    job: JobAnswer, epochs: Sequence[EpochAnswer], more: int
) -> "tuple[Problem, ...]":
    """What to say when a job is extended whose EarlyStopping may end it before its last epoch.

    The new job goes on with the count of the old one, as one training would.

    Args:
        job: the job to extend.
        epochs: all its epochs.
        more: how many epochs are added.
    """
    from fornada.spec import Problem

    found = []
    for callback in job["spec"]["callbacks"]:
        stopping = callback.get("EarlyStopping") if isinstance(callback, dict) else None
        waited = waited_epochs(stopping, epochs) if stopping else 0
        if stopping and waited and (left := max(1, stopping["patience"] - waited)) < more:
            sentence = (
                f"{stopping['monitor']} has not improved for {waited} epochs. With a patience of "
                f"{stopping['patience']} the job ends after {left} more, unless it improves."
            )
            place = "callbacks.EarlyStopping.patience"
            found.append(Problem(f"job {job['id']}", None, place, sentence))
    return tuple(found)


def waited_epochs(stopping: Mapping[str, Any], epochs: Sequence[EpochAnswer]) -> int:
    """How many epochs an EarlyStopping has waited for a better value, counted as Keras does.

    Args:
        stopping: its arguments.
        epochs: all epochs of the job.
    """
    from fornada.spec.monitors import mode_of

    lower = mode_of(stopping["monitor"], stopping["mode"]) == "min"
    sign, least = (1.0 if lower else -1.0), abs(stopping["min_delta"])

    def better(value: float, than: float | None) -> bool:
        return than is None or sign * value + least < sign * than

    best, waited = None, 0
    for epoch in epochs[stopping["start_from_epoch"] :]:
        value = epoch["metrics"].get(stopping["monitor"])
        if value is None:
            continue
        waited += 1
        if better(float(value), best):
            best = float(value)
            waited = 0 if better(best, stopping["baseline"]) else waited
    return waited


def _has_state(job: JobAnswer) -> bool:
    states = [artifact for artifact in job["artifacts"] if artifact["kind"] == TRAINING_STATE]
    # `exists` is None if this machine does not see the files: then trust the record.
    return any(state["exists"] is not False for state in states)
