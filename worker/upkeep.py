"""What every worker repeats in the background: record that it is alive, do upkeep, wake idle slots.

One worker at a time does the upkeep of the whole queue: the worker that holds a row in SQL.
"""

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

from fornada.db.errors import DatabaseUnreachable
from fornada.db.queue import expiry, upkeep, workers
from fornada.errors import BrokerUnreachable
from fornada.stack import broker
from fornada.stack.app import App
from fornada.worker.attempts.supervisors import Supervisors
from fornada.worker.client_sessions import end_long_transactions
from fornada.worker.host.heartbeat import Heartbeat
from fornada.worker.wakeups.limited_log import BAD_WAKE_UPS
from fornada.worker.wakeups.outage import Outage

log = logging.getLogger("fornada.worker")

# After so many missed rounds, another worker may take over the upkeep. If all workers miss them,
# the database did not answer. Then upkeep lets one full lease pass before it expires any lease, so
# that every attempt can renew its own.
MISSED_ROUNDS = 2
# Log lines stay in the database for so many seconds after an attempt ends, because `fornada logs`
# may still be reading them. Later readers read the log file.
LOGS_KEPT_S = 3600.0


class UpkeepThread:
    """Does a round of upkeep every `upkeep_s` seconds, in a thread of its own, until closed.

    An outage of the database or of Redis does not end the thread.

    Args:
        supervisors: the worker's supervisors.
        app: the Celery app through which it publishes wake-ups.
        heartbeat: told of each round.
        outage: told whether Redis works.
    """

    def __init__(
        self, supervisors: Supervisors, app: App, heartbeat: Heartbeat, outage: Outage
    ) -> None:
        self._supervisors = supervisors
        self._heartbeat = heartbeat
        self._context = supervisors.context
        self._app = app
        self._publisher = broker.Publisher(app)
        self._outage = outage
        # Whether the database did not answer the last time.
        self._database_away = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        # A slot that finds a job without a wake-up runs it in this pool, so that upkeep goes on.
        self._without_wake_up = ThreadPoolExecutor(len(supervisors.all), "self-woken")

    def start(self) -> None:
        """Do the first round at once, because jobs may already be waiting."""
        self._heartbeat.begin(self._supervisors.slot_state)
        self.do_round()
        self._thread.start()

    def close(self) -> None:
        """Stop upkeep, wait for jobs found without a wake-up, mark the worker as gone."""
        self._closed.set()
        # The thread never started when Celery ended before its pool began.
        if self._thread.is_alive():
            self._thread.join()
        self._without_wake_up.shutdown(wait=True)
        self._publisher.close()
        try:
            workers.gone(self._context.database, self._context.name)
        except DatabaseUnreachable as exc:
            log.warning("cannot mark this worker as gone: %s", exc)

    def _run(self) -> None:
        while not self._closed.wait(self._context.settings.upkeep_s):
            try:
                self.do_round()
            except Exception:
                log.exception("upkeep failed; the next round tries again")
            self._heartbeat.round_ended()

    def do_round(self) -> None:
        """Do one round of upkeep."""
        if not self._context.draining.is_set():
            self._context.trainers.prepare()
        # Its row says how it is.
        self._context.fitness.look()
        if self._context.fitness.record_is_gone:
            self._end()
        try:
            # First, and on every worker: a client may have locked this worker's row.
            end_long_transactions(self._context.database, self._context.settings)
            if workers.beat(self._context.database, self._supervisors.facts()):
                self._drain()
            if self._has_upkeep():
                self._keep_queue()
            self._report_database(None)
            # Also when there was nothing to publish.
            self._outage.worked("publish")
        except DatabaseUnreachable as exc:
            self._report_database(exc)
        except BrokerUnreachable as exc:
            self._report_database(None)
            self._outage.failed("publish", str(exc))
        # A wake-up may be lost, or Redis may not answer: idle slots look for jobs in SQL anyway.
        if self._supervisors.has_room():
            for _ in range(self._supervisors.idle()):
                self._without_wake_up.submit(self._look_for_jobs)
        self._check_redis()
        BAD_WAKE_UPS.report()

    def _drain(self) -> None:
        """Drain as `fornada worker drain` asks: send this process the signal that drains it."""
        if not self._context.drain_requested.is_set():
            log.info("asked from afar to drain")
            self._context.drain_requested.set()
            os.kill(os.getpid(), signal.SIGTERM)

    def _end(self) -> None:
        """End a worker whose record is gone: nothing that its jobs do is recorded any more."""
        if not self._context.draining.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def _look_for_jobs(self) -> None:
        try:
            self._supervisors.run_jobs()
        except Exception:
            # Nothing reads the future in which the pool keeps the exception.
            log.exception("a slot failed to look for a job; the next round tries again")

    def _check_redis(self) -> None:
        """Log when Redis stops or begins to work, and report to the heartbeat whether it works.

        If Redis works, Celery's loop should connect again soon. A loop that does not hangs.
        """
        connecting = self._heartbeat.connecting
        try:
            if connecting:
                # A connection of its own, because Redis may refuse new ones and serve old ones.
                broker.check(self._app)
            else:
                self._publisher.check()
        except BrokerUnreachable as exc:
            self._outage.failed("check", str(exc))
            self._heartbeat.broker(answers=False)
        else:
            self._outage.worked("check")
            self._heartbeat.broker(answers=connecting)

    def _has_upkeep(self) -> bool:
        """Whether this worker does the upkeep of the whole queue now."""
        ttl_s = MISSED_ROUNDS * self._context.settings.upkeep_s
        back_s = upkeep.correct_clock(
            self._context.database,
            more_than_s=ttl_s,
            pause_s=self._context.settings.retry_pause_s,
        )
        if back_s is not None:
            log.warning("the database's clock was put back, by about %.0f s", back_s)
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

    def _report_database(self, error: DatabaseUnreachable | None) -> None:
        """Log when the database stops and begins to answer."""
        if error is not None and not self._database_away:
            log.warning("the database does not answer: %s", error)
        if error is None and self._database_away:
            log.info("the database answers again")
        self._database_away = error is not None
