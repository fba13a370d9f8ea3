"""R4: Redis away for long in mid-job: epochs keep coming, and the worker takes wake-ups again.

Twenty seconds; `FORNADA_TEST_FULL=1` makes it ninety.
"""

import os
import signal
import time
from functools import partial

import pytest

from fornada.db.reads import history
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site

AWAY_S = 90.0 if os.environ.get("FORNADA_TEST_FULL") == "1" else 20.0
# A wait that is over once Celery's pause between two tries to connect is: 32 s at most.
RESUMED_S = 60.0
# An epoch of the stub takes 0.2 s; how late one may be in the record.
LATE_S = 5.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "database_url"),
    [("stopped", "postgres"), ("hung", "sqlite")],
    indirect=["database_url"],
)
def test_epochs_keep_coming_and_the_worker_resumes(
    site: Site, redis: RedisServer, fault: str
) -> None:
    with site.worker("--slots", "2") as worker:
        running = site.add("wait")
        until(lambda: site.show(running)["epochs_run"] > 0, 30, saw=worker.text)
        tell(f"Redis is {fault} for {AWAY_S:.0f} s", site, running)
        if fault == "stopped":
            redis.stop()
        else:
            os.kill(redis.pid, signal.SIGSTOP)
        try:
            _epochs_come(site, running, AWAY_S)
            # The second slot hears of work without Redis.
            assert site.wait(site.add("fine", wake=False))["attempts"] == 1
        finally:
            if fault == "stopped":
                redis.start()
            else:
                os.kill(redis.pid, signal.SIGCONT)
        tell("Redis is back", site, running)

        # A wake-up for nobody: only a worker that listens takes it out of the queue.
        site.publisher.publish(site.queue, None, None)
        begin = time.monotonic()
        until(lambda: site.publisher.queue_length(site.queue) == 0, RESUMED_S, saw=worker.text)
        tell(f"listening again after {time.monotonic() - begin:.1f} s", site, running)
        assert (site.state(running), site.show(running)["attempts"]) == ("running", 1)
        numbers = [row["epoch"] for row in history.epochs(site.database, running)]
        assert numbers == list(range(1, len(numbers) + 1))


def _epochs_come(site: Site, job_id: int, seconds: float) -> None:
    """See that the record never stands still for long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        until(partial(_beyond, site, job_id, site.show(job_id)["epochs_run"]), LATE_S)


def _beyond(site: Site, job_id: int, epoch: int) -> bool:
    return bool(site.show(job_id)["epochs_run"] > epoch)
