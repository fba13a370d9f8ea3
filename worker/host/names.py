"""How a Celery process comes under its name: no living worker has it, nothing runs under it."""

import logging
import time
from collections.abc import Container
from dataclasses import replace
from typing import Any

from fornada.db.queue import expiry, workers
from fornada.db.queue.workers import WorkerFacts
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.host.heartbeat_file import Beat, NameHeld

log = logging.getLogger("fornada.worker")

LOOK_S = 0.5


def take_name(
    database: Database,
    settings: Settings,
    facts: WorkerFacts,
    before: Beat | None,
    begun: float,
) -> None:
    """Take the name in the record, and give up what an earlier process left under it.

    Call it when the slots are locked: no trainer of that process lives then, and its jobs need
    not wait until their leases are over.

    Args:
        database: of all workers.
        settings: say how often workers beat.
        facts: of this worker, whose name is held in this home.
        before: the last pulse of the process that held it in this home.
        begun: when the worker was, by the monotonic clock: perhaps before this process.
    Raises:
        NameHeld: a worker elsewhere beats under it, or took it just now.
        DatabaseUnreachable: the database does not answer.
    """
    name, host = facts.name, facts.host
    ended = (host, before.pid) if before else None
    _refuse_namesake(database, settings, name, (ended, (host, facts.pid)))
    up = replace(facts, state=WorkerState.STARTING)
    begun_s = time.monotonic() - begun
    if not workers.register(
        database, up, within_s=settings.alive_s, instead_of=ended, begun_s=begun_s
    ):
        raise NameHeld(
            f"another worker took the name {name} just now; give this one another --name"
        )
    pause_s = settings.retry_pause_s
    for job_id in expiry.abandon(database, worker=name, host=host, pause_s=pause_s):
        log.warning("job %d: its attempt ended with the process before this one", job_id)


def _refuse_namesake(
    database: Database,
    settings: Settings,
    name: str,
    known: Container[tuple[str, int] | None],
) -> None:
    first = _row(database, settings, name)
    if first is None or (first["host"], first["pid"]) in known:
        return
    log.info("a worker %s was heard of on %s; waiting whether it still beats", name, first["host"])
    while (row := _row(database, settings, name)) is not None:
        if row["seen_at"] != first["seen_at"]:
            raise NameHeld(
                f"a worker named {name} runs on {row['host']} (process {row['pid']}); "
                f"give this one another --name"
            )
        time.sleep(LOOK_S)


def _row(database: Database, settings: Settings, name: str) -> dict[str, Any] | None:
    rows = workers.alive(database, settings.alive_s)
    return next((row for row in rows if row["name"] == name), None)
