"""The background round of every worker: record that it is alive, do upkeep, wake idle slots.

Upkeep of the whole queue is done by one worker at a time: the worker that holds a row in SQL.
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

# After so many missed beats, another worker may take over the upkeep. When all workers miss them,
# the database did not answer; then attempts get this time to renew their leases before upkeep
# expires any.
UPKEEP_BEATS = 2
# Log lines stay in the database so long after a job ends, because `fornada logs` may still be
# reading them. Later readers read the log file.
LOGS_KEPT_S = 3600.0


class UpkeepThread:
    """Beats in a thread of its own until closed. An outage makes it miss beats, never end.

    Args:
        supervisors: the worker's supervisors.
        app: the Celery app through which it publishes wake-ups.
        heartbeat: told of each round.
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
        # A slot that finds a job without a wake-up runs it in this pool, so the round goes on.
        self._self_woken = ThreadPoolExecutor(len(supervisors.all), "self-woken")

    def start(self) -> None:
        """Start with a beat at once, because jobs may already be waiting."""
        self._heartbeat.begin(self._supervisors.slot_state)
        self.beat()
        self._thread.start()

    def close(self) -> None:
        """Stop beating, wait for jobs found without a wake-up, mark the worker as gone."""
        self._closed.set()
        # The thread never started when Celery ended before its pool began.
        if self._thread.is_alive():
            self._thread.join()
        self._self_woken.shutdown(wait=True)
        self._publisher.close()
        try:
            workers.gone(self._context.database, self._context.name)
        except DatabaseUnreachable as exc:
            log.warning("cannot mark this worker as gone: %s", exc)

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
                self._drain()
            if self._has_upkeep():
                self._keep_queue()
            self._report_back("database")
        except DatabaseUnreachable as exc:
            self._report_away("database", exc)
        except BrokerUnreachable as exc:
            self._report_away("broker", exc)
        if self._heartbeat.connecting:
            self._ping_redis()
        # A wake-up may be lost, or Redis may not answer: idle slots look for jobs in SQL anyway.
        if self._supervisors.has_room():
            for _ in range(self._supervisors.idle()):
                self._self_woken.submit(self._answer)

    def _drain(self) -> None:
        """Drain because the database asks for it: send this process the signal that drains it."""
        if not self._context.drain_requested.is_set():
            log.info("asked from afar to drain")
            self._context.drain_requested.set()
            os.kill(os.getpid(), signal.SIGTERM)

    def _answer(self) -> None:
        try:
            self._supervisors.answer()
        except Exception:
            # Nothing reads the future in which the pool keeps the exception.
            log.exception("a slot that looked for work failed; again at the next beat")

    def _ping_redis(self) -> None:
        """Tell the heartbeat whether Redis answers while Celery's loop is not connected.

        If Redis answers, the loop should connect again soon; if it does not, the loop hangs.
        """
        try:
            broker.ping(self._app)
        except BrokerUnreachable:
            self._heartbeat.broker(answers=False)
        else:
            self._heartbeat.broker(answers=True)

    def _has_upkeep(self) -> bool:
        """Whether this worker does the upkeep of the whole queue now."""
        ttl_s = UPKEEP_BEATS * self._context.settings.upkeep_s
        return upkeep.take(self._context.database, self._context.name, ttl_s)

    def _keep_queue(self) -> None:
        database = self._context.database
        pause_s = self._context.settings.retry_pause_s
        for job_id in expiry.expire_leases(database, pause_s=pause_s):
            log.warning("job %d: its lease was not renewed in time; the attempt is lost", job_id)
        for job_id in upkeep.release_due(database):
            log.info("job %d: the jobs it waited for have ended", job_id)
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
            log.warning("the %s does not answer: %s", what, error)
        self._away.add(what)

    def _report_back(self, what: str) -> None:
        if what in self._away:
            log.info("the %s answers again", what)
        self._away.discard(what)
