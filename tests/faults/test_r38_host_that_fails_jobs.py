"""R38: a host that fails each job at once does not eat the queue, whatever the reason."""

import shlex
import shutil
from collections.abc import Iterator

import pytest

from fornada.db.states import FailureCode
from fornada.worker.fitness.failures_in_a_row import LIMIT
from tests.faults.real import submit_real
from tests.faults.telling import tell
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import REPOSITORY, STUB, Site, stub_spec

JOBS = 12


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


def add(site: Site, number: int) -> int:
    """Submit a job with a spec of its own."""
    spec = stub_spec("fine") | {"fit": {"epochs": number + 1}}
    return site.add("fine", spec=spec, retry_attempts=1)


def test_a_host_on_which_no_trainer_starts_fails_few_jobs_and_runs_the_others(site: Site) -> None:
    broken = site.home / "broken"
    broken.touch()
    command = shlex.join(["sh", "-c", f'! test -e {shlex.quote(str(broken))} && exec {STUB} "$@"'])
    environment = {"FORNADA_TRAINER_COMMAND": f"{command} stub", "FORNADA_RETRY_PAUSE_S": "3"}
    with site.worker("--slots", "1", **environment) as worker:
        ids = [add(site, number) for number in range(JOBS)]
        until(site.unfit, 60, saw=worker.text)
        tell("the worker takes no jobs", site, *ids[: LIMIT + 1])
        assert "CRASHED" in site.unfit()[worker.name]
        broken.unlink()
        ended = [site.wait(job_id, timeout_s=60) for job_id in ids]
        failed = [job for job in ended if job["state"] == "failed"]
        assert len(failed) == LIMIT, worker.text()
        assert {job["state"] for job in ended if job not in failed} == {"succeeded"}
        until(lambda: not site.unfit(), 30, saw=worker.text)
        assert worker.text().count("takes no jobs") == 1
        assert worker.text().count("takes jobs again") == 1


def test_one_spec_that_crashes_again_and_again_stops_no_worker(site: Site) -> None:
    with site.worker("--slots", "1") as worker:
        for _ in range(2 * LIMIT):
            site.wait(site.add("crash", retry_attempts=1))
        assert site.unfit() == {}
        assert site.wait(site.add("fine"))["state"] == "succeeded", worker.text()


@pytest.mark.timeout(600)
def test_a_data_root_that_is_not_mounted_fails_no_job(site: Site) -> None:
    root, away = site.home / "data", site.home / "away"
    shutil.copytree(REPOSITORY / "Data" / "Test", away / "Data" / "Test")
    root.mkdir()
    with site.keras_worker("--slots", "1", FORNADA_DATA_ROOT=str(root)) as worker:
        ids = [submit_real(site, seed) for seed in (1, 2, 3)]
        until(site.unfit, 120, saw=worker.text)
        assert str(root) in site.unfit()[worker.name]
        first = site.wait(ids[0], "queued")
        tell("the data are not mounted", site, *ids)
        assert [each["failure"]["code"] for each in first["executions"]] == [
            FailureCode.DATA_MISSING
        ]
        assert [(site.state(job_id), site.show(job_id)["tries"]) for job_id in ids] == [
            ("queued", 0)
        ] * 3
        root.rmdir()
        away.rename(root)
        for job_id in ids:
            assert site.wait(job_id, timeout_s=120)["state"] == "succeeded", worker.text()
