"""R14: the connection is cut during the COMMIT of a verdict: one final state, no second run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from fornada.db.reads import history
from fornada.db.store.tables import Job
from tests.acceptance.installed import Fornada
from tests.acceptance.specs import small
from tests.faults.databases import durable_site, epochs_in_order, proxied
from tests.faults.proxy import Cut, Proxy
from tests.faults.telling import tell
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess

TIMES = 4
# What only these transactions write.
VERDICT = re.compile(rb"UPDATE attempt SET [^\n]*ended_at")
CLAIM = re.compile(rb"INSERT INTO attempt ")
EPOCHS = re.compile(rb"INSERT INTO epoch ")
STARTED = re.compile(rb"UPDATE attempt SET [^\n]*trainer_pid")


@pytest.fixture(scope="module")
def site(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    """On the session's PostgreSQL."""
    with durable_site(postgres_server, redis_server.url) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(postgres_server: PostgresServer, site: Site) -> Iterator[tuple[Proxy, WorkerProcess]]:
    """A worker whose connections to the database can be cut."""
    with (
        proxied(postgres_server, site) as (made, environment),
        site.worker("--slots", "1", **environment) as worker,
    ):
        yield made, worker


@pytest.mark.parametrize("where", list(Cut))
def test_a_success_is_one(site: Site, proxy: tuple[Proxy, WorkerProcess], where: Cut) -> None:
    for turn in range(TIMES):
        job_id = _cut(site, proxy, f"fine-{turn}", VERDICT, where)
        job = site.wait(job_id)
        assert (job["state"], job["attempts"], job["tries"]) == ("succeeded", 1, 0)
        assert job["failure"] is None
        _ended_once(site, job_id, ["succeeded"])


@pytest.mark.parametrize("where", list(Cut))
def test_a_crash_is_one_try(site: Site, proxy: tuple[Proxy, WorkerProcess], where: Cut) -> None:
    for _ in range(TIMES):
        job_id = _cut(site, proxy, "crash-1", VERDICT, where)
        job = site.wait(job_id)
        assert (job["state"], job["attempts"], job["tries"]) == ("succeeded", 2, 1)
        _ended_once(site, job_id, ["requeued", "succeeded"])


@pytest.mark.parametrize("where", list(Cut))
@pytest.mark.parametrize("which", [STARTED, EPOCHS], ids=["started", "epochs"])
def test_what_an_attempt_tells_is_recorded_once(
    site: Site, proxy: tuple[Proxy, WorkerProcess], which: re.Pattern[bytes], where: Cut
) -> None:
    job_id = _cut(site, proxy, "wait-10", which, where)
    job = site.wait(job_id)
    assert (job["state"], job["attempts"], job["epochs_run"]) == ("succeeded", 1, 10)
    assert epochs_in_order(site, job_id) == 10
    _ended_once(site, job_id, ["succeeded"])


@pytest.mark.parametrize("where", list(Cut))
def test_a_claim_is_one(site: Site, proxy: tuple[Proxy, WorkerProcess], where: Cut) -> None:
    for turn in range(TIMES):
        job_id = _cut(site, proxy, f"fine-{turn}", CLAIM, where)
        job = site.wait(job_id, timeout_s=60)
        # Nobody ran it under the claim that nobody heard of.
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        _ended_once(site, job_id, ["succeeded"])


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("where", list(Cut))
def test_a_submit_that_is_answered_for_is_one(
    site: Site, postgres_server: PostgresServer, tmp_path: Path, where: Cut
) -> None:
    with _client(site, postgres_server) as (stands, fornada):
        stands.cut_at_commit(_adds_jobs, where)
        name = f"once-{where.name.lower()}"
        spec = small(tmp_path, name, queue=site.queue)

        job_id = int(fornada("submit", "-q", spec).stdout)

        assert len(stands.commits) == 1
        tell(f"cut {where.name} the commit of its submission", site, job_id)
        job = site.wait(job_id)
        assert (job["state"], job["attempts"]) == ("succeeded", 1)
        with site.database.read() as connection:
            assert list(connection.scalars(select(Job.c.id).where(Job.c.name == name))) == [job_id]


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("back", [True, False], ids=["back in time", "away"])
def test_a_submit_whose_answer_is_lost_is_never_called_refused(
    site: Site, postgres_server: PostgresServer, tmp_path: Path, back: bool
) -> None:
    with _client(site, postgres_server) as (stands, fornada):
        stands.cut_at_commit(_adds_jobs, Cut.AFTER, away=True)
        name = f"doubt-{back}".lower()
        command = fornada.start("submit", "-q", small(tmp_path, name, queue=site.queue))
        until(lambda: stands.commits, 30)
        if back:
            stands.open()
        told, why = command.communicate(timeout=60)

        with site.database.read() as connection:
            (job_id,) = connection.scalars(select(Job.c.id).where(Job.c.name == name))
        tell("cut AFTER the commit of its submission, and refused connections", site, job_id)
        if back:
            assert (command.returncode, told) == (0, f"{job_id}\n"), why
        else:
            assert (command.returncode, told) == (6, "")
            assert "Nobody knows whether they are queued" in why
            assert "--key" in why
        assert site.wait(job_id)["state"] == "succeeded"


@contextmanager
def _client(site: Site, server: PostgresServer) -> Iterator[tuple[Proxy, Fornada]]:
    """A command line whose connections to the database can be cut."""
    with proxied(server, site) as (stands, environment):
        ours = {key: value for key, value in site.environment().items() if "FORNADA_" in key}
        yield stands, Fornada(site.home, ours | environment)


def _adds_jobs(transaction: bytes) -> bool:
    return b"INSERT INTO job " in transaction


def _cut(
    site: Site,
    proxy: tuple[Proxy, WorkerProcess],
    name: str,
    which: re.Pattern[bytes],
    where: Cut,
) -> int:
    """Add a job, and cut the connection at such a commit of it."""
    stands, worker = proxy
    before = len(stands.commits)
    stands.cut_at_commit(lambda transaction: bool(which.search(transaction)), where)
    job_id = site.add(name)
    until(lambda: len(stands.commits) > before, 30, saw=worker.text)
    tell(f"cut {where.name} the commit", site, job_id)
    return job_id


def _ended_once(site: Site, job_id: int, kinds: list[str]) -> None:
    """See what became of the job at the end of each attempt, once each."""
    events = history.events(site.database, job_id)
    told = [event["kind"] for event in events if "outcome" in (event["detail"] or {})]
    assert told == kinds, events
