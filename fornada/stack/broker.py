"""The connection to Redis: the Celery app of publishers and workers, its queues, and wake-ups.

Each queue of jobs is a list in Redis: `KEY_PREFIX`, the uid of the database, a colon, and the name
of the queue. So two databases may share one Redis, and no worker takes wake-ups of another one. A
message in a list is a wake-up: it carries the uid of a job and its document (the fields of
`fornada.db.queue.jobs.NewJob`). If upkeep only wants a worker to look at the table of jobs, the
message carries neither.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kombu import Connection, Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError, ResponseError

from fornada.errors import BrokerUnreachable, SettingsError
from fornada.settings import Settings
from fornada.stack.app import App
from fornada.urls import canonical, shown

# The only task. The command line publishes it by name, so it need not import the worker.
TASK = "fornada.wake"
# With a prefix, other applications can use the same Redis, and access rules can name all our keys.
KEY_PREFIX = "fornada:"
# Seconds that a publisher waits for one answer. A call needs several answers, and must report a
# hung Redis within 10 seconds.
ANSWER_S = 2
# The list of a check, after `KEY_PREFIX`; a random text follows. No queue has such a name.
CHECK_KEY = ".check:"
# Seconds that a check waits for an element of an empty list, and for the element that it stored.
EMPTY_S = 0.01
GIVEN_S = 1.0
# With this, Redis repeats the arguments of a command that it does not know. The password is one of
# them where AUTH has been renamed.
REPEATED = ", with args beginning"
# Random bytes in the password of the embedded Redis, before they are encoded as text.
PASSWORD_BYTES = 32


def make_app(settings: Settings, fleet: str | None = None) -> App:
    """The Celery application. It opens no connection yet.

    Args:
        settings: give the URL of the broker.
        fleet: the uid of the database; None if no wake-ups are sent or taken.
    Returns:
        The app. A worker must set its `task_queues`, see `queue`.
    """
    app = App(broker_url(settings))
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
            "global_keyprefix": key_prefix(fleet),
        },
    )
    return app


def key_prefix(fleet: str | None) -> str:
    """What the keys of a database begin with; before the uid of a database is known, of a check."""
    return KEY_PREFIX if fleet is None else f"{KEY_PREFIX}{fleet}:"


def queue(name: str) -> Queue:
    """The Celery queue for a queue of jobs. Publishers and workers must declare it equally."""
    return Queue(name, exchange="", routing_key=name)


class Publisher:
    """Sends wake-ups to workers, over one connection that stays open between calls.

    If Redis was restarted, the next call connects again. A call fails after at most 10 seconds.

    Args:
        app: from `make_app`.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._connection: Connection | None = None

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

    def check(self) -> None:
        """Check that Redis stores an element, counts it and gives it back.

        An answer to a ping says too little: a Redis that is full, is a replica or gives this user
        too few rights answers it.

        Raises:
            BrokerUnreachable: Redis does not answer, or answers with an error.
        """
        key = f"{CHECK_KEY}{secrets.token_hex(8)}"
        with self._connected() as connection:
            client = connection.default_channel.client
            # First the right to take, so that nothing is left behind where it is missing.
            client.brpop(key, EMPTY_S)
            client.lpush(key, "")
            client.llen(key)
            if client.brpop(key, GIVEN_S) is None:
                raise BrokerUnreachable(shown(self._app.url), "", "it lost an element")

    def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with _translated(self._app):
                if self._connection is None:
                    options = self._app.conf.broker_transport_options | {
                        "socket_timeout": ANSWER_S,
                        "socket_connect_timeout": ANSWER_S,
                        # Kombu would otherwise try for four seconds.
                        "max_retries": 0,
                    }
                    self._connection = self._app.connection_for_write(transport_options=options)
                yield self._connection
        except BrokerUnreachable:
            self.close()
            raise


def check(app: App) -> None:
    """Check that Redis answers, and stores and gives back an element, over a new connection.

    Raises:
        BrokerUnreachable: it does not, or not in time.
    """
    with closing(Publisher(app)) as publisher:
        publisher.check()


@contextmanager
def _translated(app: App) -> Iterator[None]:
    try:
        yield
    except (RedisError, KombuError, OSError) as exc:
        error = BrokerUnreachable(shown(app.url), *_answer(exc))
        # A traceback would show the arguments that `_answer` leaves out.
        raise error from None if REPEATED in str(exc) else exc


def reason(error: Exception) -> str:
    """What Redis or the connection said, in one line and without a password."""
    return " ".join(_answer(error)).strip()


def _answer(exc: Exception) -> tuple[str, str]:
    """What Redis or the connection said: the code of an answer, empty without one; and a text."""
    cause = exc.__cause__ if isinstance(exc, KombuError) and exc.__cause__ else exc
    text = str(cause).partition(REPEATED)[0]
    code = getattr(cause, "status_code", None) or ""
    if not code and isinstance(cause, ResponseError):
        # The client knows no class for this code, and leaves it in the text.
        code, _, text = text.partition(" ")
    return code, text


def broker_url(settings: Settings) -> str:
    """URL of the broker. It contains the password: never print it.

    Raises:
        SettingsError: a database URL is set but no broker URL.
    """
    if settings.broker_url is not None:
        return canonical(settings.broker_url.reveal())
    if settings.database_url is not None:
        raise SettingsError(
            "FORNADA_BROKER_URL is not set, but FORNADA_DATABASE_URL is. "
            "Set both, or neither for the embedded stack."
        )
    place = quote(os.fsencode(socket_path(settings)))
    return canonical(f"redis+socket://:{quote(password(settings), safe='')}@{place}")


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
