"""Whether a job that is retried can go on from its training states, as far as this host can see."""

from fornada.client.clone import recorded
from fornada.client.connection import Connection


def changed_images(connection: Connection, job_id: int) -> str | None:
    """Why a retry of a job begins at the first epoch: its images have changed.

    None if they have not, if the job has trained no epoch, and if this host does not see its data.

    Raises:
        JobNotFound: no job has this id.
    """
    job = connection.document(job_id)
    trained = job["data"]["fingerprint"] if job["data"] else None
    # On a server the data lie on the workers' hosts.
    if not (connection.settings.embedded and job["epochs_run"] and trained):
        return None
    from fornada.data import fingerprint
    from fornada.errors import DataUnreadable
    from fornada.spec import SpecProblems

    try:
        found = fingerprint.of_spec(recorded(connection, job_id), connection.settings)
    except (DataUnreadable, SpecProblems):
        # The job will say so.
        return None
    if found == trained:
        return None
    return (
        f"job {job_id} begins at the first epoch, because its images have changed since. With the "
        f"images as they were, it goes on after epoch {job['epochs_run']}"
    )
