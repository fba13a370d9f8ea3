"""How long a job has run: the time of all its attempts, without the time between them."""

from sqlalchemy import ScalarSelect, case, func, select

from fornada.db.clock import now, seconds_between
from fornada.db.store.tables import Attempt, Job

_SECONDS = seconds_between(Attempt.c.claimed_at, func.coalesce(Attempt.c.ended_at, now()))
# Seconds that an attempt has run, from its claim to its end or to now; 0 if it ended before it
# began, because the database's clock was put back.
ATTEMPT_S = case((_SECONDS < 0, 0.0), else_=_SECONDS)


def run_s() -> ScalarSelect[float]:
    """Seconds that the attempts of a job have run.

    For a statement about the table of jobs. Null for a job that was never claimed.
    """
    of_job = select(func.sum(ATTEMPT_S)).where(Attempt.c.job_id == Job.c.id)
    return of_job.correlate(Job).scalar_subquery()
