"""What a slot claims when it cannot know what its last claim took."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import ProgrammingError

from fornada import artifacts
from fornada.db.queue import attempts, expiry
from fornada.db.records import Fence
from fornada.db.store.session import Database
from fornada.worker.attempts.supervisor import Supervisor
from fornada.worker.context import WorkerContext
from fornada.worker.fitness.fitness import Fitness
from fornada.worker.host.heartbeat_file import HomeOfWorker
from fornada.worker.slots import slots
from fornada.worker.slots.slots import Device
from fornada.worker.slots.trainers import COMMAND_VARIABLE, Trainers
from tests.faults.databases import proxied
from tests.faults.proxy import Cut
from tests.servers import PostgresServer, RedisServer
from tests.worker_process import STUB, Site


def test_an_attempt_whose_end_failed_is_not_begun_again(
    postgres_server: PostgresServer, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, STUB)
    with (
        Site.on(postgres_server, redis_server.url) as site,
        proxied(postgres_server, site) as (proxy, way),
        _supervisor(site, way["FORNADA_DATABASE_URL"]) as slot,
    ):
        first = site.add("fine", wake=False)
        _rename(site, "artifact", "elsewhere")
        with pytest.raises(ProgrammingError, match="artifact"):
            slot.work()
        _rename(site, "elsewhere", "artifact")
        assert site.state(first) == "running"
        second = site.add("fine", wake=False)
        proxy.cut_at_commit(lambda sent: b"INSERT INTO attempt " in sent, Cut.AFTER)
        assert not slot.work()
        assert proxy.commits

        assert not slot.work()
        log = artifacts.attempt_folder(site.settings, site.show(first)["uid"], 1) / "train.log"
        assert log.read_text().count("stub: fine") == 1

        attempts.renew(site.database, Fence(first, 1), -1.0)
        assert expiry.expire_leases(site.database) == [first]
        assert slot.work()
        assert log.read_text().count("stub: fine") == 1
        found = [(job["state"], job["attempts"]) for job in map(site.show, (first, second))]
        assert found == [("queued", 1), ("succeeded", 1)]


@contextmanager
def _supervisor(site: Site, url: str) -> Iterator[Supervisor]:
    """One slot of a worker, in this process."""
    taken = slots.take([Device("cpu", 0)], site.home, "test")
    environment = os.environ | {"FORNADA_HOME": str(site.home)}
    trainers = Trainers(taken, environment, most_jobs=site.settings.jobs_per_trainer)
    database = Database(url)
    home = HomeOfWorker(site.home, "w1")
    fitness = Fitness(site.settings, database, "w1", [taken[0].name], home)
    bakery = WorkerContext("w1", "h1", site.settings, database, [site.queue], trainers, fitness)
    try:
        yield Supervisor(taken[0], bakery)
    finally:
        trainers.close()
        database.dispose()
        os.close(taken[0].lock)


def _rename(site: Site, old: str, new: str) -> None:
    with site.database.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")
