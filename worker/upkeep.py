"""The background round of every worker: say it lives, keep the queue's promises, wake the idle.

What concerns all workers is done by one at a time: the one that holds the row in SQL.
"""

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from celery import Celery

from fornada.db.errors import DatabaseUnreachable
from fornada.db.queue import expiry, upkeep, workers
from fornada.errors import BrokerUnreachable
from fornada.stack import broker
from fornada.worker.attempts.supervisors import Supervisors
from fornada.worker.host.heartbeat import Heartbeat

log = logging.getLogger("fornada.worker")

# The holder that misses so many beats has lost the office; when all miss them, the database was
# away, and no lease is called dead before its attempt had time to renew it.
OFFICE_BEATS = 2
# After the end of a job its log is read where it lies; readers may still be at its last lines.
LOGS_KEPT_S = 3600.0


class UpkeepThread:
    """Beats in a thread of its own until closed; an outage costs beats, never the worker.

    Args:
        supervisors: the worker's supervisors.
        app: to publish through.
        heartbeat: is told of each round.
    """

    def __init__(self, supervisors: Supervisors, app: Celery, heartbeat: Heartbeat) -> None:
        self._supervisors = supervisors
        self._heartbeat = heartbeat
        self._context = supervisors.context
        self._app = app
        self._publisher = broker.Publisher(app)
        self._away: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        # A slot that found work by itself stays with it; the round goes on.
        self._self_woken = ThreadPoolExecutor(len(supervisors.all), "self-woken")

    def start(self) -> None:
        """Begin with a beat at once: jobs may wait already."""
        self._heartbeat.begin(self._supervisors.pulse)
        self.beat()
        self._thread.start()

    def close(self) -> None:
        """Stop beating, wait for supervisors that woke by themselves, mark the worker gone."""
        self._closed.set()
        # It is not when Celery ended before it began.
        if self._thread.is_alive():
            self._thread.join()
        self._self_woken.shutdown(wait=True)
        self._publisher.close()
        try:
            workers.gone(self._context.database, self._context.name)
        except DatabaseUnreachable as exc:
            log.warning("not marked as gone: %s", exc)

    def _run(self) -> None:
        while not self._closed.wait(self._context.settings.upkeep_s):
            try:
                self.beat()
            except Exception:
                log.exception("upkeep failed; again at the next beat")
            self._heartbeat.beaten()

    def beat(self) -> None:
        """One round."""
        if not self._context.draining.is_set():
            self._context.trainers.prepare()
        try:
            if workers.beat(self._context.database, self._supervisors.facts()):
                self._go_home()
            if self._holds_office():
                self._keep()
            self._report_back("database")
        except DatabaseUnreachable as exc:
            self._report_away("database", exc)
        except BrokerUnreachable as exc:
            self._report_away("broker", exc)
        if self._heartbeat.connecting:
            self._ask_redis()
        # Wake-ups get lost, and Redis may be away: what waits in SQL is found without them.
        if self._supervisors.has_room():
            for _ in range(self._supervisors.idle()):
                self._self_woken.submit(self._answer)

    def _go_home(self) -> None:
        """Drain because the record asks for it, in the way of a signal."""
        if not self._context.drain_requested.is_set():
            log.info("asked from afar to drain")
            self._context.drain_requested.set()
            os.kill(os.getpid(), signal.SIGTERM)

    def _answer(self) -> None:
        try:
            self._supervisors.answer()
        except Exception:
            # Nobody looks at what the pool keeps of it.
            log.exception("a slot that looked for work failed; again at the next beat")

    def _ask_redis(self) -> None:
        """Whether a loop that is not connected could be: then it should not be long."""
        try:
            broker.ping(self._app)
        except BrokerUnreachable:
            self._heartbeat.broker(answers=False)
        else:
            self._heartbeat.broker(answers=True)

    def _holds_office(self) -> bool:
        ttl_s = OFFICE_BEATS * self._context.settings.upkeep_s
        return upkeep.take(self._context.database, self._context.name, ttl_s)

    def _keep(self) -> None:
        database = self._context.database
        pause_s = self._context.settings.retry_pause_s
        for job_id in expiry.expire_leases(database, pause_s=pause_s):
            log.warning("job %d: its worker was not heard of in time; the attempt is lost", job_id)
        for job_id in upkeep.release_due(database):
            log.info("job %d: what it waited for has ended", job_id)
        upkeep.forget_logs(database, LOGS_KEPT_S)
        waiting = upkeep.claimable(database)
        if waiting:
            idle = workers.idle_slots(database, self._context.settings.alive_s)
            for queue, count in waiting.items():
                self._publish(queue, min(count, idle.get(queue, 0)))

    def _publish(self, queue: str, wanted: int) -> None:
        if wanted == 0:
            return
        for _ in range(wanted - self._publisher.queue_length(queue)):
            self._publisher.publish(queue, None, None)
        self._report_back("broker")

    def _report_away(self, what: str, error: Exception) -> None:
        if what not in self._away:
            log.warning("the %s is away: %s", what, error)
        self._away.add(what)

    def _report_back(self, what: str) -> None:
        if what in self._away:
            log.info("the %s is back", what)
        self._away.discard(what)
