"""Redis as Celery sees it: one app for both sides, queues, and wake-ups that answer in time.

A queue of users is a list of the same name in Redis, under `KEY_PREFIX`. The message carries the
job's uid and its document (the fields of `fornada.db.queue.jobs.NewJob`), or nothing when upkeep
only wants somebody to look at the table.
"""

import hashlib
import math
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import redis
from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import KombuError
from kombu.utils.url import maybe_sanitize_url
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from fornada.errors import BrokerUnreachable, SettingsError
from fornada.settings import Settings

# The one task there is; the command line publishes it by name and never imports the worker.
TASK = "fornada.wake"
# Lets other applications share the Redis, and access rules name all our keys.
KEY_PREFIX = "fornada:"
# Seconds a publisher waits for one answer of Redis, so that a hung one is told within 10 in all.
ANSWER_S = 2
# Seconds after an answer in which a publisher takes Redis to be there.
HEARD_OF_S = 1.0
# Bytes of the embedded Redis's password before encoding.
PASSWORD_BYTES = 32


def make_app(settings: Settings) -> Celery:
    """The Celery application; opens no connection.

    Args:
        settings: say where the broker is.
    Returns:
        An app that needs `task_queues` set by a worker, see `queue`.
    """
    app = Celery("fornada", broker=broker_url(settings), set_as_current=False)
    app.conf.update(
        # Early: a job outlives any visibility timeout, and SQL remembers it.
        task_acks_late=False,
        task_ignore_result=True,
        # Pickle would run code.
        accept_content=["json"],
        task_serializer="json",
        task_create_missing_queues=False,
        task_default_exchange="",
        task_default_queue="default",
        worker_pool="threads",
        worker_prefetch_multiplier=1,
        # Without it a busy worker hoards a message that an idle one could take.
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Kombu's book of messages taken and not yet acknowledged: ours are acknowledged before
            # they are looked at, SQL remembers, and its keys are names that a queue may have.
            "ack_emulation": False,
            # A hung Redis would otherwise block in silence.
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "client_name": "fornada",
            "global_keyprefix": KEY_PREFIX,
        },
    )
    return app


def queue(name: str) -> Queue:
    """The Celery queue of a users' queue; both sides must spell it like this."""
    return Queue(name, exchange="", routing_key=name)


class Publisher:
    """Wakes workers, over a connection that is kept from the first time on.

    A Redis that starts again in between is found again. What it raises is told after at most 10
    seconds; the next call opens another connection.

    Args:
        app: from `make_app`.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._client: redis.Redis | None = None
        self._connection: Connection | None = None
        self._heard_at = -math.inf

    def publish(self, queue_name: str, uid: str | None, document: Mapping[str, Any] | None) -> None:
        """Wake some worker of a queue.

        Args:
            queue_name: the job's queue.
            uid: of the job, or None for a wake-up that names none.
            document: the fields of `fornada.db.queue.jobs.NewJob`, from which a worker can record
                the job.
        Raises:
            BrokerUnreachable: Redis did not take it.
        """
        with self._connected() as connection:
            self._app.send_task(
                TASK,
                kwargs={"uid": uid, "document": None if document is None else dict(document)},
                queue=queue(queue_name),
                connection=connection,
                retry=False,
                # For whom Celery's events are shown; it takes as long as the sending.
                kwargsrepr="",
            )

    def queue_length(self, queue_name: str) -> int:
        """How many wake-ups wait in a queue.

        Raises:
            BrokerUnreachable: Redis did not answer.
        """
        with self._connected() as connection:
            return int(connection.default_channel.client.llen(queue_name))

    def close(self) -> None:
        """Close the connection; another call opens one again."""
        for kept in (self._client, self._connection):
            if kept is not None:
                kept.close()
        self._client = self._connection = None
        self._heard_at = -math.inf

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with _translated(self._app):
                if self._client is None:
                    self._client = _client(self._app.conf.broker_url)
                # First: kombu's own client repeats a refused connection for 6 seconds. Not before
                # each of a thousand jobs: it takes a third as long as the sending.
                if time.monotonic() - self._heard_at > HEARD_OF_S:
                    self._client.ping()
                if self._connection is None:
                    options = self._app.conf.broker_transport_options | {
                        "socket_timeout": ANSWER_S,
                        "socket_connect_timeout": ANSWER_S,
                    }
                    self._connection = self._app.connection_for_write(transport_options=options)
                yield self._connection
                self._heard_at = time.monotonic()
        except BrokerUnreachable:
            self.close()
            raise


def ping(app: Celery) -> None:
    """Ask Redis for a sign of life; a Redis that is away is told at once.

    Raises:
        BrokerUnreachable: there was none, after at most `ANSWER_S` seconds.
    """
    url = app.conf.broker_url
    with _translated(app), closing(_client(url)) as client:
        client.ping()


def _client(url: str) -> redis.Redis:
    # Not kombu's, which cannot be told not to repeat what was refused.
    parts = urlsplit(url)
    options: dict[str, Any] = {
        "socket_timeout": ANSWER_S,
        "socket_connect_timeout": ANSWER_S,
        "retry": Retry(NoBackoff(), 0),
    }
    if parts.scheme == "redis+socket":
        query = parse_qs(parts.query)
        database = query.get("virtual_host", ["0"])[0].strip("/")
        url = parts._replace(scheme="unix", query=f"db={database}").geturl()
        # A Unix socket has no such option.
        del options["socket_connect_timeout"]
    return redis.Redis.from_url(url, **options)


@contextmanager
def _translated(app: Celery) -> Iterator[None]:
    try:
        yield
    except (RedisError, KombuError, OSError) as exc:
        shown = maybe_sanitize_url(app.conf.broker_url)
        raise BrokerUnreachable(f"Redis at {shown} did not answer: {exc}") from exc


def broker_url(settings: Settings) -> str:
    """URL of the broker, its password in it: never print it.

    Raises:
        SettingsError: a database is set and no broker.
    """
    if settings.broker_url is not None:
        return settings.broker_url.get_secret_value()
    if settings.database_url is not None:
        raise SettingsError(
            "FORNADA_BROKER_URL is not set, but FORNADA_DATABASE_URL is. "
            "Set both, or neither for the embedded stack."
        )
    return f"redis+socket://:{quote(password(settings))}@{socket_path(settings)}"


def socket_path(settings: Settings) -> Path:
    """Socket of the embedded Redis, in a folder of this user alone.

    Not in the home: a socket's path may have 107 bytes, and homes may lie deep.

    Raises:
        SettingsError: the folder belongs to somebody else.
    """
    home = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]
    return _private(_runtime_folder() / home) / "redis.sock"


def _runtime_folder() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and Path(given).is_dir() and os.access(given, os.W_OK):
        return _private(Path(given) / "fornada")
    return _private(Path("/tmp") / f"fornada-{os.getuid()}")  # noqa: S108 - made private below


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SettingsError(
            f"{folder} is not a folder that only you can enter; remove it, or set XDG_RUNTIME_DIR"
        )
    return folder


def password(settings: Settings) -> str:
    """Password of the embedded Redis, made at its first use and kept in the home."""
    file = settings.home / "redis.password"
    if not file.exists():
        settings.make_home()
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.touch(mode=0o600)
        beside.write_text(secrets.token_urlsafe(PASSWORD_BYTES))
        # A link, not a rename: of two that start at once, the first one's password stays.
        with suppress(FileExistsError):
            file.hardlink_to(beside)
        beside.unlink()
    return file.read_text()
