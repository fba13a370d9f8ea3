"""How a Celery process takes its name: no living worker may have it, no old attempt may run."""

import logging
import time
from collections.abc import Container
from dataclasses import replace

from fornada.db.answers import WorkerAnswer
from fornada.db.queue import expiry, workers
from fornada.db.queue.workers import WorkerFacts
from fornada.db.states import WorkerState
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.stack import dead_workers
from fornada.worker.host.heartbeat_file import Beat, NameHeld

log = logging.getLogger("fornada.worker")

# How often to look whether another worker of the name still beats.
LOOK_S = 0.5


def take_name(
    database: Database,
    settings: Settings,
    facts: WorkerFacts,
    before: Beat | None,
    begun: float,
) -> None:
    """Register the name in the database, and end the attempts of the process that had it before.

    Call it when the slots are locked: then no trainer of the earlier process is alive, and its jobs
    can be queued again before their leases expire.

    Args:
        database: the database that all workers share.
        settings: how often workers beat.
        facts: this worker, whose name is already reserved in this home.
        before: the last heartbeat of the previous process of this name in this home.
        begun: when the worker's parent process started, by the monotonic clock. The parent may
            have restarted this process since then.
    Raises:
        NameHeld: a worker elsewhere uses the name, or took it just now.
        DatabaseUnreachable: the database does not answer.
    """
    name, host = facts.name, facts.host
    ended = (host, before.pid) if before else None
    _refuse_namesake(database, settings, name, (ended, (host, facts.pid)))
    starting = replace(facts, state=WorkerState.STARTING)
    begun_s = time.monotonic() - begun
    if not workers.register(
        database, starting, within_s=settings.alive_s, instead_of=ended, begun_s=begun_s
    ):
        raise NameHeld(
            f"another worker took the name {name} just now; give this one another --name"
        )
    pause_s = settings.retry_pause_s
    for job_id in expiry.abandon(database, worker=name, host=host, pause_s=pause_s):
        log.warning("job %d: its attempt ended with the process before this one", job_id)
    _bury(database, settings)


def _bury(database: Database, settings: Settings) -> None:
    """End the attempts of the workers of this home that were killed, without a pause.

    Their leases would last for up to a minute more. The start of this worker is pause enough, and
    each attempt counts as one of the job's tries. A trainer of such a worker may still be in its
    last moment: it knows no database, and writes only into the folder of its own attempt.
    """
    for ended in dead_workers.removed(settings.home):
        for job_id in expiry.bury(database, ended, pause_s=0.0):
            log.warning("job %d: its worker %s was killed", job_id, ended.name)


def _refuse_namesake(
    database: Database,
    settings: Settings,
    name: str,
    known: Container[tuple[str, int] | None],
) -> None:
    """Refuse the name if another living worker has it.

    Args:
        database: where the workers are recorded.
        settings: how often workers beat.
        name: the name to take.
        known: host and process id of workers with this name that are not another living worker.
    """
    first = _row(database, settings, name)
    if first is None or (first["host"], first["pid"]) in known:
        return
    log.info("waiting to see whether the worker %s on %s is still alive", name, first["host"])
    while (row := _row(database, settings, name)) is not None:
        if row["seen_at"] != first["seen_at"]:
            raise NameHeld(
                f"a worker named {name} runs on {row['host']} (process {row['pid']}); "
                f"give this one another --name"
            )
        time.sleep(LOOK_S)


def _row(database: Database, settings: Settings, name: str) -> WorkerAnswer | None:
    rows = workers.alive(database, settings.alive_s)
    return next((row for row in rows if row["name"] == name), None)
