"""The connection to Redis: the Celery app of publishers and workers, its queues, and wake-ups.

Each queue of jobs is a list in Redis with the name of the queue, after `KEY_PREFIX`. A message in
it is a wake-up: it carries the uid of a job and its document (the fields of
`fornada.db.queue.jobs.NewJob`). If upkeep only wants a worker to look at the table of jobs, the
message carries neither.
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

# The only task. The command line publishes it by name, so it need not import the worker.
TASK = "fornada.wake"
# With a prefix, other applications can use the same Redis, and access rules can name all our keys.
KEY_PREFIX = "fornada:"
# Seconds that a publisher waits for one answer. A call needs several answers, and must report a
# hung Redis within 10 seconds.
ANSWER_S = 2
# For this many seconds after an answer, a publisher sends without asking whether Redis is there.
TRUST_S = 1.0
# Random bytes in the password of the embedded Redis, before they are encoded as text.
PASSWORD_BYTES = 32


def make_app(settings: Settings) -> Celery:
    """The Celery application. It opens no connection yet.

    Args:
        settings: give the URL of the broker.
    Returns:
        The app. A worker must set its `task_queues`, see `queue`.
    """
    app = Celery("fornada", broker=broker_url(settings), set_as_current=False)
    app.conf.update(
        # Acknowledged before the job runs: with a late acknowledgement, Celery would deliver a
        # long job a second time. The database remembers jobs, so none is lost.
        task_acks_late=False,
        task_ignore_result=True,
        # Not pickle: to read it can run code.
        accept_content=["json"],
        task_serializer="json",
        task_create_missing_queues=False,
        task_default_exchange="",
        task_default_queue="default",
        worker_pool="threads",
        worker_prefetch_multiplier=1,
        # With prefetching, a busy worker would keep a message that an idle worker could take.
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Kombu would record messages that are delivered and not yet acknowledged. Our messages
            # are acknowledged on delivery, and the database remembers the jobs. Kombu's keys for
            # this could also collide with the names of queues.
            "ack_emulation": False,
            # Without a timeout, a Redis that hangs would block the worker without a message.
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
    """The Celery queue for a queue of jobs. Publishers and workers must declare it equally."""
    return Queue(name, exchange="", routing_key=name)


class Publisher:
    """Sends wake-ups to workers, over one connection that stays open between calls.

    If Redis was restarted, the next call connects again. A call fails after at most 10 seconds.

    Args:
        app: from `make_app`.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._client: redis.Redis | None = None
        self._connection: Connection | None = None
        self._answered_at = -math.inf

    def publish(self, queue_name: str, uid: str | None, document: Mapping[str, Any] | None) -> None:
        """Wake one worker of a queue.

        Args:
            queue_name: the job's queue.
            uid: of the job; None for a wake-up without a job.
            document: the fields of `fornada.db.queue.jobs.NewJob`, from which a worker can record
                the job; None for a wake-up without a job.
        Raises:
            BrokerUnreachable: Redis did not accept the message.
        """
        with self._connected() as connection:
            self._app.send_task(
                TASK,
                kwargs={"uid": uid, "document": None if document is None else dict(document)},
                queue=queue(queue_name),
                connection=connection,
                retry=False,
                # A text for Celery's events, which are off. To make it takes as long as to send.
                kwargsrepr="",
            )

    def queue_length(self, queue_name: str) -> int:
        """Number of wake-ups that wait in a queue.

        Raises:
            BrokerUnreachable: Redis did not answer.
        """
        with self._connected() as connection:
            return int(connection.default_channel.client.llen(queue_name))

    def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        for kept in (self._client, self._connection):
            if kept is not None:
                kept.close()
        self._client = self._connection = None
        self._answered_at = -math.inf

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with _translated(self._app):
                if self._client is None:
                    self._client = _client(self._app.conf.broker_url)
                # A ping comes first, because kombu would retry a refused connection for 6 seconds.
                # It takes a third of the time of sending, so not every job of many gets one.
                if time.monotonic() - self._answered_at > TRUST_S:
                    self._client.ping()
                if self._connection is None:
                    options = self._app.conf.broker_transport_options | {
                        "socket_timeout": ANSWER_S,
                        "socket_connect_timeout": ANSWER_S,
                    }
                    self._connection = self._app.connection_for_write(transport_options=options)
                yield self._connection
                self._answered_at = time.monotonic()
        except BrokerUnreachable:
            self.close()
            raise


def ping(app: Celery) -> None:
    """Check that Redis answers. A refused connection is reported at once.

    Raises:
        BrokerUnreachable: Redis did not answer within `ANSWER_S` seconds.
    """
    url = app.conf.broker_url
    with _translated(app), closing(_client(url)) as client:
        client.ping()


def _client(url: str) -> redis.Redis:
    # Not kombu's client: it always retries a refused connection.
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
        # The client for Unix sockets does not accept this option.
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
    """URL of the broker. It contains the password: never print it.

    Raises:
        SettingsError: a database URL is set but no broker URL.
    """
    if settings.broker_url is not None:
        return settings.broker_url.reveal()
    if settings.database_url is not None:
        raise SettingsError(
            "FORNADA_BROKER_URL is not set, but FORNADA_DATABASE_URL is. "
            "Set both, or neither for the embedded stack."
        )
    return f"redis+socket://:{quote(password(settings))}@{socket_path(settings)}"


def socket_path(settings: Settings) -> Path:
    """Socket of the embedded Redis, in a folder that only this user can enter.

    It is not in the home: the path of a socket may have at most 107 bytes, and a home's path may be
    longer.

    Raises:
        SettingsError: another user owns the folder, or may enter it.
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
    """Password of the embedded Redis. It is created at the first use and stored in the home."""
    file = settings.home / "redis.password"
    if not file.exists():
        settings.make_home()
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.touch(mode=0o600)
        beside.write_text(secrets.token_urlsafe(PASSWORD_BYTES))
        # A link fails if the file exists; a rename would replace it. So if two processes start at
        # the same time, the password of the first one stays.
        with suppress(FileExistsError):
            file.hardlink_to(beside)
        beside.unlink()
    return file.read_text()
