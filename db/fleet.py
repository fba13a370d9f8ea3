"""Whether a job could ever run, on any worker that is known."""

from sqlalchemy import select

from db.clock import later, now
from db.session import Database
from db.tables import Worker
from db.workers import has_gpu

# A worker that has not been heard of for so long is not expected back.
FORGOTTEN_S = 30 * 86_400.0


def never_runs(
    database: Database, queue: str, gpus: str, *, within_s: float = FORGOTTEN_S
) -> str | None:
    """Why no worker could ever run a job, alive or gone for a while.

    Args:
        queue: the job's.
        gpus: what it asks for: auto, 0 or 1.
        within_s: how long ago a worker may last have been heard of.
    Returns:
        NoWorker: none serves the queue. NeedsGpu: none that does has a GPU. None: one could, or
        no worker is known at all, so that the first may well be the one.
    """
    with database.read() as connection:
        known = select(Worker.slots, Worker.queues).where(Worker.seen_at >= later(now(), -within_s))
        workers = connection.execute(known).all()
    serving = [worker for worker in workers if queue in worker.queues]
    if not workers:
        return None
    if not serving:
        return "NoWorker"
    with_gpu = any(has_gpu(slot) for worker in serving for slot in worker.slots)
    return "NeedsGpu" if gpus == "1" and not with_gpu else None
