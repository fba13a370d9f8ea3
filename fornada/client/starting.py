"""How a person gets a worker for a job that waits for one, on the machine of an embedded stack."""

from fornada.db.answers import JobAnswer
from fornada.db.reasons import NoWorker, Reason
from fornada.settings import Settings
from fornada.stack import stack_lock

# The queue that `fornada up` serves by itself.
DEFAULT_QUEUE = "default"


def command(settings: Settings, job: JobAnswer, waits: Reason | None) -> str | None:
    """The command that starts a worker for a job, such as `fornada up`.

    Args:
        settings: of the home.
        job: the document of the job.
        waits: why it waits.
    Returns:
        None if the job does not wait for a worker; or if no command here would help: the home
        belongs to a server, or its stack is up.
    """
    if not (job.get("lost") or isinstance(waits, NoWorker)):
        return None
    if not settings.embedded or stack_lock.running(settings):
        return None
    # A worker of any queue takes over the jobs of one that was killed, but does not run them.
    queue = job["queue"]
    return (
        "fornada up" if queue == DEFAULT_QUEUE else f"fornada up --queues {DEFAULT_QUEUE},{queue}"
    )
