"""Where chaos plays: servers, a site, workers that are started again, and what is done to them."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import psycopg

from tests.faults.databases import SOCKET
from tests.faults.proxy import Cut, Proxy, through
from tests.servers import PostgresServer, RedisServer
from tests.until import until
from tests.worker_process import Site, WorkerProcess

T = TypeVar("T")

REAL_QUEUE = "real"
# So short that a job which is killed often still ends in time.
SETTINGS = {"FORNADA_RETRY_PAUSE_S": "0.01", "FORNADA_STATE_EVERY_S": "0.5"}
# A worker that has ended is started again as an operator would.
AGAIN_S = 1.0
GARBAGE = (b"no json", b"\x80\x04K\x01.", b"{}", b"[]", b'{"body": 1, "headers": {}}', b"")


class Stage:
    """The servers and workers; as a context manager all of them end."""

    def __init__(self, database: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._ends = contextlib.ExitStack()
        self.redis = self._ends.enter_context(RedisServer())
        self.postgres: PostgresServer | None = None
        self.proxy: Proxy | None = None
        if database == "postgres":
            self.postgres = self._ends.enter_context(PostgresServer())
            self.site = Site.on(self.postgres, self.redis.url)
            name = self.site.database_url.rpartition("/")[2].partition("?")[0]
            # What was committed must outlive its being killed.
            self.postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
            self.proxy = self._ends.enter_context(Proxy(self.postgres.folder / SOCKET))
        else:
            home = Path(tempfile.mkdtemp(prefix="fw-", dir="/tmp"))
            self._file = home / "fornada.db"
            self.site = Site(f"sqlite:///{self._file}", self.redis.url, home=home)
        self._wanted: dict[str, Callable[[], WorkerProcess]] = {
            "stubs": lambda: self._stub("stubs", "2"),
            "more-stubs": lambda: self._stub("more-stubs", "1"),
            "keras-worker": self._keras_worker,
        }
        self.workers: dict[str, WorkerProcess] = {}
        self._again: dict[str, float] = {}
        self._frozen: list[int] = []
        self._sent_home: list[subprocess.Popen[bytes]] = []
        self._lock: sqlite3.Connection | None = None

    def keep_workers(self) -> None:
        """Start each worker that has ended, a little later."""
        now = time.monotonic()
        for name in self._wanted:
            worker = self.workers.get(name)
            if worker is not None and worker.process.poll() is None:
                continue
            due = self._again.setdefault(name, now if worker is None else now + AGAIN_S)
            if now >= due:
                code = None if worker is None else worker.process.returncode
                if worker is not None:
                    self._say(f"worker {name} ended with {code}; started again")
                self.workers[name] = self._wanted[name]()
                del self._again[name]

    def kill_trainer(self, pick: float) -> str:
        """Kill one, working or not, or a factory of them; what it was."""
        found = self.site.trainers() + self.site.factories()
        if not found:
            return "there is none"
        pid = chosen(found, pick)
        _kill(pid, signal.SIGKILL)
        return f"process {pid}"

    def kill_celery(self, pick: float) -> str:
        """Kill the Celery process of a worker."""
        name, worker = chosen(list(self.workers.items()), pick)
        pid = worker.celery
        if not pid:
            return f"{name} has none"
        _kill(pid, signal.SIGKILL)
        return f"{name}, process {pid}"

    def kill_parent(self, pick: float) -> str:
        """Kill a worker's first process."""
        name, worker = chosen(list(self.workers.items()), pick)
        worker.kill()
        return name

    def signal_parent(self, pick: float, times: int) -> str:
        """Ask a worker to drain; the second time, to end at once."""
        name, worker = chosen(list(self.workers.items()), pick)
        for _ in range(times):
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        self._sent_home.append(worker.process)
        return name

    @property
    def leaving(self) -> bool:
        """Whether a worker that was asked to end has not ended yet."""
        return any(process.poll() is None for process in self._sent_home)

    def freeze(self, pick: float) -> tuple[str, Callable[[], None]]:
        """Stop all processes of a worker; how they go on."""
        name, worker = chosen(list(self.workers.items()), pick)
        pids = [worker.process.pid, worker.celery, *_children(worker.celery)]
        pids = [pid for pid in pids if pid and _kill(pid, signal.SIGSTOP)]
        self._frozen += pids

        def thaw() -> None:
            for pid in pids:
                _kill(pid, signal.SIGCONT)
                self._frozen.remove(pid)

        return name, thaw

    def redis_away(self, *, hung: bool) -> Callable[[], None] | None:
        """Kill or stop Redis; how it comes back. None when it is away already."""
        if self.redis.process is None or _stopped(self.redis.pid):
            return None
        if hung:
            pid = self.redis.pid
            _kill(pid, signal.SIGSTOP)

            def go_on() -> None:
                _kill(pid, signal.SIGCONT)

            return go_on
        self.redis.kill()
        return self.redis.start

    def database_away(self, *, hung: bool) -> Callable[[], None] | None:
        """Kill or hang the database, on SQLite lock it; how it comes back."""
        if self.postgres is None or self.proxy is None:
            return self._locked()
        if hung:
            self.proxy.stall()
            return self.proxy.flow
        if self.postgres.process is None:
            return None
        self.postgres.kill()
        return self.postgres.start

    def database_cut(self) -> Callable[[], None] | None:
        """Cut every connection of workers to the database; how they may connect again."""
        if self.proxy is None or not self.proxy.socket.exists():
            return None
        self.proxy.cut()
        return self.proxy.open

    def cut_commit(self, where: Cut) -> bool:
        """Cut the next connection that commits what it has written."""
        if self.proxy is None:
            return False
        words = (b"INSERT", b"UPDATE", b"DELETE")
        self.proxy.cut_at_commit(lambda told: any(word in told for word in words), where)
        return True

    def garbage(self, pick: float) -> str:
        """Push what is no wake-up into a queue."""
        element = chosen(GARBAGE, pick)
        with contextlib.closing(self.redis.client()) as client:
            for queue in (self.site.queue, REAL_QUEUE):
                client.lpush(f"{self.site.key_prefix}{queue}", element)
        return repr(element)

    def jobs_locked(self) -> Callable[[], None] | None:
        """Keep the rows of all jobs locked by a transaction; how it ends. PostgreSQL only."""
        if self.postgres is None or self.postgres.process is None:
            return None
        name = self.site.database_url.rpartition("/")[2].partition("?")[0]
        try:
            session = self.postgres.connect(name)
        except psycopg.OperationalError:
            # It is stopped, or starts.
            return None
        session.autocommit = False
        try:
            session.execute("SET LOCAL lock_timeout = '1s'")
            session.execute("SELECT id FROM job FOR UPDATE")
        except psycopg.Error:
            session.close()
            return None
        return session.close

    def calm(self) -> None:
        """Undo what was done, and see that every worker is there."""
        for pid in list(self._frozen):
            _kill(pid, signal.SIGCONT)
        if self.redis.process is None:
            self.redis.start()
        _kill(self.redis.pid, signal.SIGCONT)
        if self.postgres is not None and self.postgres.process is None:
            self.postgres.start()
        if self.proxy is not None:
            self.proxy.cut_at_commit(lambda told: False, Cut.AFTER)
            self.proxy.flow()
            if not self.proxy.socket.exists():
                self.proxy.open()
        if self._lock is not None:
            self._unlock(self._lock)

    def drain(self) -> None:
        """Drain all workers, and see that nothing of them is left."""
        for worker in self.workers.values():
            worker.process.send_signal(signal.SIGTERM)
        codes = {name: worker.process.wait(30) for name, worker in self.workers.items()}
        assert set(codes.values()) == {0}, codes
        until(lambda: not self.site.processes(), 5, saw=self.site.processes)

    def logs(self) -> str:
        """What all workers said."""
        return "".join(file.read_text(errors="replace") for file in self._log_files())

    def keep_logs(self, folder: Path) -> None:
        """Copy the workers' logs and the attempts', for whoever looks for what went wrong."""
        for file in [*self._log_files(), *self.site.home.glob("artifacts/*/*/train.log")]:
            kept = folder / file.relative_to(self.site.home)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(file.read_bytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.calm()
        for worker in self.workers.values():
            worker.kill()
        until(lambda: not self.site.processes(), 10, saw=self.site.processes)
        self.site.close()
        self._ends.close()

    def _environment(self) -> dict[str, str]:
        if self.proxy is None:
            return SETTINGS
        url = through(self.site.database_url, self.proxy)
        return SETTINGS | {"FORNADA_DATABASE_URL": url}

    def _stub(self, name: str, slots: str) -> WorkerProcess:
        return self.site.worker("--slots", slots, "--name", name, **self._environment())

    def _keras_worker(self) -> WorkerProcess:
        words = ("--slots", "cpu", "--name", "keras-worker", "--queues", REAL_QUEUE)
        return WorkerProcess(self.site, words, self.site.environment(**self._environment()))

    def _locked(self) -> Callable[[], None] | None:
        if self._lock is not None:
            return None
        lock = sqlite3.connect(
            self._file, isolation_level=None, timeout=10.0, check_same_thread=False
        )
        lock.execute("BEGIN IMMEDIATE")
        self._lock = lock
        return lambda: self._unlock(lock)

    def _unlock(self, lock: sqlite3.Connection) -> None:
        if self._lock is lock:
            lock.execute("ROLLBACK")
            lock.close()
            self._lock = None

    def _log_files(self) -> list[Path]:
        return sorted(self.site.home.glob("*.log"))


def chosen(among: Sequence[T], pick: float) -> T:
    """The one that a number from 0 to just below 1 stands for."""
    return among[int(pick * len(among))]


def _kill(pid: int, which: signal.Signals) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return False
    return True


def _children(pid: int) -> list[int]:
    if not pid:
        return []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []


def _stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
