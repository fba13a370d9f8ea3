"""Real workers for tests: the installed `fornada-worker`, in a home of its own."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from celery import Celery

from fornada import fleet_marker
from fornada.db import migrations
from fornada.db.answers import JobAnswer
from fornada.db.queue import jobs, steering, workers
from fornada.db.reads import documents
from fornada.db.records import NewJob
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.stack import broker
from tests import processes
from tests.servers import PostgresServer
from tests.until import until

REPOSITORY = Path(__file__).parents[1]
STUB = f"{sys.executable} -P {REPOSITORY / 'tests' / 'stub_trainer.py'}"
PROGRAM = Path(sys.executable).with_name("fornada-worker")
# Short, so that faults show within seconds.
QUICK = {
    "LEASE_S": "8",
    "HEARTBEAT_S": "1",
    "UPKEEP_S": "2",
    "GRACE_S": "5",
    "RETRY_PAUSE_S": "0.5",
    # Every epoch has its state, however busy the machine.
    "STATE_SHARE": "1",
}
# Importing TensorFlow and Celery on two cores that others use too.
START_S = 60.0


@dataclass
class Site:
    """A home, a database, a broker and a queue that belong to one test or module.

    As a context manager it is closed at the end.
    """

    database_url: str
    broker_url: str
    queue: str = field(default_factory=lambda: f"q-{uuid.uuid4().hex[:8]}")
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="fw-", dir="/tmp")))

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)
        schema = migrations.prepare(self.database, may_upgrade=True)
        self.settings = Settings(
            home=self.home,
            database_url=self.database_url,
            broker_url=self.broker_url,
            data_root=REPOSITORY,
        )
        # The database may know jobs of other homes, which are not found in this artifacts folder.
        assert schema.fleet is not None
        fleet_marker.write(self.settings.artifacts_folder, schema.fleet)
        self.app: Celery = broker.make_app(self.settings, schema.fleet)
        self.publisher = broker.Publisher(self.app)
        self.key_prefix = broker.key_prefix(schema.fleet)

    @classmethod
    def on(cls, server: PostgresServer, broker_url: str) -> Self:
        """A site with a new database on a server."""
        name = f"site_{uuid.uuid4().hex[:8]}"
        server.execute(f"CREATE DATABASE {name}")
        # The test servers forget durability; what a worker was told is there must be there.
        server.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
        return cls(server.url(name), broker_url)

    def neighbour(self) -> "Site":
        """Another home, with the same database, broker and queue."""
        return Site(self.database_url, self.broker_url, self.queue)

    @property
    def key(self) -> str:
        """The list in Redis that holds the wake-ups of this site's queue."""
        return f"{self.key_prefix}{self.queue}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def environment(self, **more: str) -> dict[str, str]:
        """What a worker of this site finds in its environment."""
        ours = {
            "FORNADA_HOME": str(self.home),
            "FORNADA_DATABASE_URL": self.database_url,
            "FORNADA_BROKER_URL": self.broker_url,
            "FORNADA_DATA_ROOT": str(REPOSITORY),
        }
        quick = {f"FORNADA_{name}": value for name, value in QUICK.items()}
        return dict(os.environ) | quick | ours | more

    def worker(self, *arguments: str, **more: str) -> "WorkerProcess":
        """Start a worker with stub trainers, serving this site's queue."""
        environment = self.environment(FORNADA_TRAINER_COMMAND=STUB) | more
        return WorkerProcess(self, arguments, environment)

    def keras_worker(self, *arguments: str, **more: str) -> "WorkerProcess":
        """Start a worker with real trainers, serving this site's queue."""
        return WorkerProcess(self, arguments, self.environment(**more))

    def add(self, name: str, *, wake: bool = True, **changes: Any) -> int:
        """Record a job for stub trainers; without a wake-up, only upkeep finds it."""
        new = stub_job(name, **{"queue": self.queue} | changes)
        job_id = jobs.add(self.database, new, "test")
        if wake:
            self.publisher.publish(new.queue, new.uid, None)
        return job_id

    def publish(self, job_id: int) -> None:
        """Wake a worker for a job."""
        self.publisher.publish(self.queue, str(self.show(job_id)["uid"]), None)

    def show(self, job_id: int) -> JobAnswer:
        """The job's document."""
        return documents.job(self.database, job_id)

    def state(self, job_id: int) -> str:
        """The job's state."""
        return str(self.show(job_id)["state"])

    def wait(self, job_id: int, *states: str, timeout_s: float = 30.0) -> JobAnswer:
        """Wait until the job is in one of the states, or final when none is given."""
        wanted = states or ("succeeded", "failed", "cancelled")
        until(lambda: self.state(job_id) in wanted, timeout_s, saw=lambda: self.show(job_id))
        return self.show(job_id)

    def in_epoch(self, number: int, name: str, **changes: Any) -> int:
        """Record a job and wait until it has trained so many epochs; its id."""
        job_id = self.add(name, **changes)
        until(lambda: self.show(job_id)["epochs_run"] >= number, 30, saw=lambda: self.show(job_id))
        return job_id

    def training(self, job_id: int, attempt: int) -> bool:
        """Whether an attempt has begun to train, and its trainer lives."""
        job = self.show(job_id)
        worker = job["worker"]
        begun = job["attempts"] == attempt and job["state"] == "running"
        return bool(begun and worker and worker["trainer_pid"] in self.processes())

    def cancel(self, *ids: int) -> None:
        """Cancel jobs, and wait until they have ended."""
        for job_id in ids:
            steering.cancel(self.database, job_id, "test")
        for job_id in ids:
            self.wait(job_id)

    def alive(self) -> list[tuple[str, int]]:
        """Names of the workers that were heard of lately, each with its Celery process."""
        rows = workers.alive(self.database, 10.0)
        return [(row["name"], row["pid"]) for row in rows if row["state"] != WorkerState.STARTING]

    def unfit(self) -> dict[str, str]:
        """The living workers that take no jobs because of their hosts, each with the reason."""
        rows = workers.alive(self.database, 10.0)
        return {row["name"]: row["unfit"] for row in rows if row["unfit"] is not None}

    def processes(self) -> list[int]:
        """Living processes with this home in their environment."""
        return processes.of_home(self.home)

    def living(self) -> dict[int, str]:
        """Command lines of the living processes, for what a test says of them."""
        return {pid: " ".join(processes.command(pid)) for pid in self.processes()}

    def trainers(self) -> list[int]:
        """Living trainers of this site, those too that wait for a job."""
        return [pid for pid in self.processes() if processes.name(pid) == "fornada-trainer"]

    def factories(self) -> list[int]:
        """Living factories of this site that can fork trainers."""
        return [pid for pid in self.processes() if processes.name(pid) == "fornada-factory"]

    def live_factory(self) -> int:
        """Wait until there is one that can fork trainers."""
        until(lambda: len(self.factories()) == 1, START_S, saw=self.living)
        return self.factories()[0]

    def close(self) -> None:
        """Forget the database and the home; every worker must be gone."""
        self.publisher.close()
        self.database.dispose()
        left = self.living()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home)
        assert not left, f"processes left behind: {left}"


class WorkerProcess:
    """One `fornada-worker`; as a context manager it is drained at the end."""

    def __init__(
        self,
        site: Site,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        before: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            site: where it works.
            arguments: of `fornada-worker`.
            environment: all of its variables.
            before: a program with its arguments that runs the command given after them (exec).
        """
        self.site = site
        self.name = _name(arguments) or f"w-{uuid.uuid4().hex[:8]}"
        arguments = [*arguments, "--name", self.name]
        self.log = site.home / f"{self.name}-{uuid.uuid4().hex[:4]}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*before, PROGRAM, "--queues", site.queue, *arguments],
                env=dict(environment),
                stdout=log,
                stderr=log,
            )

    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def ready(self) -> "WorkerProcess":
        """Wait until its row says that it lives."""
        until(lambda: (self.name, self.celery) in self.site.alive(), START_S, saw=self.text)
        return self

    @property
    def celery(self) -> int:
        """Process id of the Celery process; 0 while there is none."""
        found = processes.children(self.process.pid)
        return next((pid for pid in found if "--parent" in processes.command(pid)), 0)

    def stop(self, timeout_s: float = 20.0) -> int:
        """Drain it; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not drained within {timeout_s} s: {self.text()}") from None

    def kill(self) -> None:
        """End it as a power cut would; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "WorkerProcess":
        try:
            return self.ready()
        except AssertionError:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()


def stub_job(name: str, queue: str, **changes: Any) -> NewJob:
    """A job whose spec only a stub trainer reads."""
    fields: dict[str, Any] = {
        "uid": uuid.uuid4().hex,
        "name": name,
        "queue": queue,
        "priority": 0,
        "gpus": "auto",
        "spec": stub_spec(name),
        "spec_hash": "0" * 64,
        "seed": 0,
        "user": "test",
        "tags": {},
        "time_limit_s": None,
        "retry_attempts": 3,
        "monitor": "loss",
        "monitor_mode": "min",
    }
    return NewJob(**fields | changes)


def stub_spec(name: str) -> dict[str, Any]:
    """What a stub trainer reads of a spec."""
    return {"name": name, "data": {"train": "Data/Train"}, "fit": {"epochs": 2}}


def _name(arguments: Sequence[str]) -> str | None:
    given = [after for before, after in itertools.pairwise(arguments) if before == "--name"]
    return given[-1] if given else None
