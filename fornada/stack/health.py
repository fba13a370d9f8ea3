"""Looks at everything a job needs, and says what to do about what is missing."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable, NotPermitted
from fornada.db.queue import workers
from fornada.db.states import WorkerState
from fornada.db.store import session
from fornada.errors import FornadaError, StackError
from fornada.patience import why
from fornada.settings import Settings, unknown_variables
from fornada.stack import broker, local

# Bytes free in the folder of artifacts below which a job may end as DISK_FULL.
ROOM = 1 << 30
# XLA has no fast convolution for CPUs.
JAX_ON_A_CPU = (
    "without a GPU JAX takes many times as long for convolutions as TensorFlow: "
    "KERAS_BACKEND=tensorflow for those"
)


@dataclass(frozen=True)
class Check:
    """One thing a job needs.

    Args:
        what: `settings`, `broker`, `database`, `worker`, `devices` or `disk`.
        well: whether a job can do with it.
        found: what was seen.
        todo: what to do, where it is not well.
    """

    what: str
    well: bool
    found: str
    todo: str = ""

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """Look at everything, in the order in which a job needs it."""
    looks: tuple[Callable[[Settings], list[Check]], ...] = (_settings, _broker, _database, _disk)
    return [finding for look in looks for finding in look(settings)]


def _settings(settings: Settings) -> list[Check]:
    # A job may run all the same, only not as somebody wanted it to.
    said = unknown_variables(os.environ)
    place = "embedded, all in" if settings.embedded else "a server's; locks and packs in"
    return [Check("settings", True, "; ".join([f"{place} {settings.home}", *said]))]


def _database(settings: Settings) -> list[Check]:
    if settings.embedded and not (settings.home / "fornada.db").exists():
        todo = "fornada up, or just: fornada run SPEC"
        return [Check("database", False, f"none yet in {settings.home}", todo)]
    database = session.Database(settings.sql_url)
    try:
        found, needed = migrations.current(database), migrations.head()
        if found != needed:
            said = f"schema {found or 'missing'}, this version needs {needed}"
            return [Check("database", False, said, "fornada db upgrade")]
        schema = Check("database", True, f"{database.dialect}, schema {found}")
        return [schema, *_workers(settings, database)]
    except DatabaseUnreachable as error:
        todo = "is it running, and is FORNADA_DATABASE_URL right?"
        return [Check("database", False, f"{error.where} does not answer: {why(error)}", todo)]
    except NotPermitted as error:
        todo = "give the user its rights: deploy/postgres/grants.sql"
        found = f"{error.where} does not let this user look: {error.reason}"
        return [Check("database", False, found, todo)]
    finally:
        database.dispose()


def _workers(settings: Settings, database: session.Database) -> list[Check]:
    known = workers.alive(database, settings.alive_s)
    rows = [row for row in known if row["state"] != WorkerState.DRAINING]
    names = ", ".join(f"{row['name']} ({row['state']})" for row in known)
    if not rows:
        said = f"none takes jobs: {names}" if names else "none is alive"
        return [Check("worker", False, said, _how_to_work(settings))]
    slots = [slot for row in rows for slot in row["slots"]]
    devices = ", ".join(slot["name"] for slot in slots)
    return [
        Check("worker", True, names),
        Check("devices", bool(slots), devices or "no slot", _about_devices(rows)),
    ]


def _about_devices(rows: Sequence[Mapping[str, Any]]) -> str:
    if not any(row["slots"] for row in rows):
        return "start one with --slots cpu, or with the GPUs it is to use"
    without = [row for row in rows if not any(slot["gpu"] for slot in row["slots"])]
    slow = [row["name"] for row in without if "jax" in row["versions"]]
    return f"{', '.join(slow)}: {JAX_ON_A_CPU}" if slow else ""


def _how_to_work(settings: Settings) -> str:
    """What brings a worker here, or what lacks for one."""
    if not settings.embedded:
        return "fornada worker start, on a host with Keras"
    try:
        local.worker_program()
    except FornadaError as error:
        return str(error)
    return "fornada up"


def _broker(settings: Settings) -> list[Check]:
    todo = "is it running, and is FORNADA_BROKER_URL right?"
    if settings.embedded:
        todo = "end what runs in this home, then: fornada up"
        if not local.running(settings):
            return [Check("broker", False, "the embedded stack is not up", _how_to_start())]
    try:
        broker.ping(broker.make_app(settings))
    except FornadaError as error:
        return [Check("broker", False, str(error), todo)]
    return [Check("broker", True, "Redis answers")]


def _how_to_start() -> str:
    try:
        local.find_redis()
    except StackError as error:
        return str(error)
    return "fornada up"


def _disk(settings: Settings) -> list[Check]:
    folder = settings.artifacts_folder
    free = shutil.disk_usage(_existing(folder)).free
    said = f"{free / (1 << 30):.1f} GiB free for {folder}"
    todo = "" if free >= ROOM else "make room, or set FORNADA_ARTIFACTS to another disk"
    return [Check("disk", free >= ROOM, said, todo)]


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())
