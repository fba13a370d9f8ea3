"""What a test prints: when its fault came, and what state it found."""

import time

from fornada.db.answers import JobAnswer
from tests.worker_process import Site

_BEGAN = time.monotonic()


def tell(fault: str, site: Site, *ids: int) -> None:
    """Print a fault that comes now, and where the jobs are."""
    found = ", ".join(_shown(site.show(job_id)) for job_id in ids) or "no job"
    tell_only(fault, found)


def tell_only(fault: str, found: object) -> None:
    """Print a fault that comes now, and what it finds."""
    print(f"{time.monotonic() - _BEGAN:7.2f} s  {fault}; found {found}", flush=True)


def _shown(job: JobAnswer) -> str:
    return f"job {job['id']} {job['state']}, attempt {job['attempts']}, epoch {job['epochs_run']}"
