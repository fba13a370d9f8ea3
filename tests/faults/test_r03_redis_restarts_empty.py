"""R3: Redis killed and restarted empty, again and again, idle and in mid-job.

Twenty times on PostgreSQL, six on SQLite; `FORNADA_TEST_FULL=1` makes both twenty.
"""

import os

import pytest

from fornada.db.reads import history
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site

TIMES = 20
# On SQLite in CI.
FEW = 6
FULL = os.environ.get("FORNADA_TEST_FULL") == "1"


@pytest.mark.timeout(600)
def test_the_running_job_goes_on_and_each_other_runs_once(site: Site, redis: RedisServer) -> None:
    times = TIMES if FULL or "postgres" in site.database_url else FEW
    with site.worker("--slots", "1") as busy, site.worker("--slots", "cpu") as other:
        long = site.add("wait")
        until(lambda: site.show(long)["epochs_run"] > 0, 30, saw=busy.text)
        trainer = site.show(long)["worker"]["trainer_pid"]
        short = []
        for turn in range(times):
            # Half of them find the other slot idle, half in the middle of a job.
            mid_job = turn % 2 == 1
            short.append(site.add("wait-8" if mid_job else "fine", wake=mid_job))
            if mid_job:
                site.wait(short[-1], "running")
            tell(f"kill {turn + 1} of Redis", site, long, short[-1])
            redis.kill()
            redis.start()
            assert site.wait(short[-1])["attempts"] == 1, other.text()

        ran = [site.show(job_id) for job_id in short]
        assert {(job["state"], job["attempts"]) for job in ran} == {("succeeded", 1)}
        job = site.show(long)
        assert (job["state"], job["attempts"]) == ("running", 1)
        assert job["worker"]["trainer_pid"] == trainer
        numbers = [row["epoch"] for row in history.epochs(site.database, long)]
        assert numbers == list(range(1, len(numbers) + 1))
