"""How long a job has run: the time of all its attempts, without the time between them."""

from sqlalchemy import ScalarSelect, case, func, select

from fornada.db.clock import now, seconds_between
from fornada.db.store.tables import Attempt, Job


def run_s() -> ScalarSelect[float]:
    """Seconds that the attempts of a job have run, each from its claim to its end or to now.

    For a statement about the table of jobs. Null for a job that was never claimed. An attempt
    during which the database's clock was put back counts as 0 if it ended before it began.
    """
    each = seconds_between(Attempt.c.claimed_at, func.coalesce(Attempt.c.ended_at, now()))
    of_job = select(func.sum(case((each < 0, 0.0), else_=each))).where(Attempt.c.job_id == Job.c.id)
    return of_job.correlate(Job).scalar_subquery()
