"""Checks everything that a job needs, and says what to do about each problem."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fornada.db import migrations
from fornada.db.accounts import owner_of, ownership, this_account
from fornada.db.errors import DatabaseUnreachable, NotPermitted
from fornada.db.queue import workers
from fornada.db.states import WorkerState
from fornada.db.store import session
from fornada.errors import BrokerUnreachable, FornadaError
from fornada.patience import why
from fornada.settings import Settings, unknown_variables
from fornada.stack import broker, dead_workers, local, stack_lock

# Free bytes on the disk of the artifacts. With less, a job may fail with DISK_FULL.
ENOUGH_FREE_BYTES = 1 << 30
# Free bytes on the disk of a home. With less, a worker may have no room for its few small files.
ENOUGH_FOR_A_HOME_BYTES = 1 << 16
# XLA has no fast convolution for CPUs.
JAX_ON_A_CPU = (
    "without a GPU, JAX takes many times as long as TensorFlow for convolutions; set "
    "KERAS_BACKEND=tensorflow for models with convolutions"
)
# What to do about an error that Redis answers, by its first word.
REFUSED = {
    "LOADING": "wait until Redis has read its data",
    "MASTERDOWN": "name the master in FORNADA_BROKER_URL; this Redis is a replica without it",
    "MISCONF": 'make Redis able to write its snapshot, or switch its snapshots off: save ""',
    "NOAUTH": "put the password of Redis into FORNADA_BROKER_URL",
    "NOPERM": "give the user of FORNADA_BROKER_URL its rights: deploy/redis/users.acl",
    "OOM": "give Redis more memory (maxmemory), or remove what fills it",
    "READONLY": "name the master in FORNADA_BROKER_URL; this Redis is a replica",
    "WRONGPASS": "put the right user and password of Redis into FORNADA_BROKER_URL",
}


# What happens to a part of the embedded stack that is not up.
STARTS = "fornada run and fornada up start it"
CREATES = "fornada run and fornada up create it"
UPGRADES = "fornada run and fornada up upgrade it"
# What to do about a worker whose host cannot run jobs. Its reason says the rest.
REPAIR = "repair its host; the worker begins again by itself"


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        what: `settings`, `home`, `broker`, `database`, `worker`, `devices` or `disk`.
        well: whether it is good enough for a job.
        found: what was found.
        todo: what to do about a problem; empty if there is nothing to do.
    """

    what: str
    well: bool
    found: str
    todo: str = ""

    def document(self) -> dict[str, Any]:
        """The result as JSON, for `--json`."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Check everything, in the order in which a job needs it.

    If no embedded stack is up, the checks say whether `fornada run` could start one.
    """
    checks: tuple[Callable[[Settings], list[Check]], ...] = (_settings, _broker, _database, _disk)
    if settings.embedded and not stack_lock.running(settings):
        checks = (_settings, _home, _redis_to_start, _database_at_rest, _worker_to_start, _disk)
    return [result for check in checks for result in check(settings)]


def _settings(settings: Settings) -> list[Check]:
    # An unknown variable does not prevent a job from running, so `well` is always true.
    unknown = unknown_variables(os.environ)
    place = "embedded; all files in" if settings.embedded else "for a server; locks and packs in"
    return [Check("settings", True, "; ".join([f"{place} {settings.home}", *unknown]))]


def _home(settings: Settings) -> list[Check]:
    """Whether the stack can write its files. `access` also knows read-only file systems."""
    folder = _existing(settings.home)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return [Check("home", True, f"{settings.home} can be written"), *_full_home(settings)]
    todo = "set FORNADA_HOME to a folder that you may write to"
    return [Check("home", False, f"{folder} cannot be written. {ownership(folder)}", todo)]


def _redis_to_start(settings: Settings) -> list[Check]:
    return [_startable("broker", local.find_redis, f"no stack is up in {settings.home}")]


def _worker_to_start(settings: Settings) -> list[Check]:
    lost = _lost(settings)
    said = f"; jobs that lost their worker and continue on the next: {lost}" if lost else ""
    return [_startable("worker", local.worker_program, f"no stack is up{said}")]


def _lost(settings: Settings) -> str:
    """The ids of the jobs whose worker was killed, as far as the database can be read."""
    dead = dead_workers.found(settings.home)
    if not dead:
        return ""
    database = session.Database(settings.sql_url)
    try:
        if not migrations.schema(database).fits:
            return ""
        return ", ".join(map(str, sorted(workers.lost_jobs(database, dead))))
    except DatabaseUnreachable:
        # The check of the database says so.
        return ""
    finally:
        database.dispose()


def _startable(what: str, find: Callable[[], Path], found: str) -> Check:
    """Check that the program exists that a stack starts."""
    try:
        find()
    except FornadaError as error:
        return Check(what, False, found, str(error))
    return Check(what, True, f"{found}; {STARTS}")


def _database_at_rest(settings: Settings) -> list[Check]:
    """The embedded database while no stack is up. `fornada run` creates or upgrades it."""
    if not (settings.home / "fornada.db").exists():
        return [Check("database", True, f"there is none yet; {CREATES}")]
    database = session.Database(settings.sql_url)
    try:
        found = migrations.schema(database)
    except DatabaseUnreachable as error:
        todo = "check that the file is a database of Fornada, and that you may write to it"
        return [Check("database", False, f"{error.where} cannot be read: {why(error)}", todo)]
    finally:
        database.dispose()
    if found.newer and not found.fits:
        return [Check("database", False, str(migrations.mismatch(found)), "upgrade Fornada")]
    upgrade = "" if found.fits else f"; {UPGRADES}"
    return [Check("database", True, f"sqlite, schema {found.revision or 'missing'}{upgrade}")]


def _database(settings: Settings) -> list[Check]:
    database = session.Database(settings.sql_url)
    try:
        found = migrations.schema(database)
        if not found.fits:
            said = f"schema {found.revision or 'missing'}, this version needs {migrations.head()}"
            todo = "upgrade Fornada" if found.newer else "fornada db upgrade"
            return [Check("database", False, said, todo)]
        if problem := database.not_writable():
            return [Check("database", False, problem.sentence, problem.todo)]
        schema = Check("database", True, f"{database.dialect}, schema {found.revision}")
        return [schema, *_workers(settings, database)]
    except DatabaseUnreachable as error:
        todo = "check that the database runs, and that FORNADA_DATABASE_URL is right"
        said = f"{error.where} does not answer: {why(error)}"
        return [Check("database", False, said, error.todo if error.tls else todo)]
    except NotPermitted as error:
        todo = "give the database user its rights: deploy/postgres/grants.sql"
        said = f"{error.where} does not let this user read: {error.reason}"
        return [Check("database", False, said, todo)]
    finally:
        database.dispose()


def _workers(settings: Settings, database: session.Database) -> list[Check]:
    dead = dead_workers.found(settings.home) if settings.embedded else ()
    known = workers.alive(database, settings.alive_s, dead)
    taking = [row for row in known if row["state"] != WorkerState.DRAINING]
    rows = [row for row in taking if not row["unfit"]]
    names = ", ".join(f"{row['name']} ({row['state']})" for row in known)
    # Beside a worker that takes jobs, a job would run all the same.
    unfit = [
        Check("worker", bool(rows), f"{row['name']} takes no jobs: {row['unfit']}", REPAIR)
        for row in taking
        if row["unfit"]
    ]
    if unfit and not rows:
        return unfit
    if not rows:
        said = f"no worker takes jobs: {names}" if names else "no worker is running"
        return [Check("worker", False, said, _how_to_work(settings)), *_full_home(settings)]
    slots = [slot for row in rows for slot in row["slots"]]
    devices = ", ".join(slot["name"] for slot in slots)
    return [
        Check("worker", True, names),
        *unfit,
        Check("devices", bool(slots), devices or "no slot", _about_devices(rows)),
    ]


def _about_devices(rows: Sequence[Mapping[str, Any]]) -> str:
    if not any(row["slots"] for row in rows):
        return "start a worker with --slots cpu, or with --slots for the GPUs that it may use"
    without = [row for row in rows if not any(slot["gpu"] for slot in row["slots"])]
    slow = [row["name"] for row in without if "jax" in row["versions"]]
    return f"{', '.join(slow)}: {JAX_ON_A_CPU}" if slow else ""


def _how_to_work(settings: Settings) -> str:
    """How to get a worker, where a stack is up."""
    if not settings.embedded:
        return "fornada worker start, on a host with Keras"
    return f"wait until it has started; its log: {settings.home / 'logs' / 'worker.log'}"


def _broker(settings: Settings) -> list[Check]:
    todo = "check that Redis runs, and that FORNADA_BROKER_URL is right"
    if settings.embedded:
        todo = _about_our_redis(settings.home)
    try:
        broker.check(broker.make_app(settings))
    except BrokerUnreachable as error:
        return [
            Check("broker", False, error.sentence, REFUSED.get(error.answer, error.todo or todo))
        ]
    except FornadaError as error:
        return [Check("broker", False, str(error), todo)]
    return [Check("broker", True, "Redis stores wake-ups and gives them back")]


def _about_our_redis(home: Path) -> str:
    """What to do if the Redis of the embedded stack does not answer."""
    if owner_of(home) != this_account():
        return f"{ownership(home)} Only the account that started the stack reaches its Redis"
    return "stop the stack that runs in this home, then start another: fornada down, fornada up"


def _disk(settings: Settings) -> list[Check]:
    folder = settings.artifacts_folder
    free = shutil.disk_usage(_existing(folder)).free
    said = f"{free / (1 << 30):.1f} GiB free for {folder}"
    enough = free >= ENOUGH_FREE_BYTES
    todo = "" if enough else "free some space, or set FORNADA_ARTIFACTS to a folder on another disk"
    return [Check("disk", enough, said, todo)]


def _full_home(settings: Settings) -> list[Check]:
    """What is wrong with a home that has no room: no worker can start in it."""
    disk = os.statvfs(_existing(settings.home))
    enough = disk.f_bavail * disk.f_frsize >= ENOUGH_FOR_A_HOME_BYTES
    # A file system without a limit of files says that it has none at all.
    if enough and (disk.f_favail or not disk.f_files):
        return []
    said = f"the disk of {settings.home} is full: no worker can start in it"
    return [Check("disk", False, said, "free some space on this disk")]


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())
