"""The Celery process of a worker: it holds the credentials and the slots, and takes wake-ups."""

import logging
import os
import signal
import socket
import sys
import threading
import warnings
from importlib import metadata

from celery import signals
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning

from fornada.db import migrations
from fornada.db.errors import DatabaseUnreachable, NotPermitted, SchemaMismatch
from fornada.db.store.session import Database
from fornada.errors import SettingsError
from fornada.stack import broker
from fornada.stack.app import App
from fornada.worker.attempts.supervisors import Supervisors
from fornada.worker.client_sessions import end_long_transactions
from fornada.worker.context import WorkerContext
from fornada.worker.fitness.fitness import Fitness
from fornada.worker.host import names
from fornada.worker.host.heartbeat import Heartbeat
from fornada.worker.host.heartbeat_file import NameHeld
from fornada.worker.host.options import (
    EXIT_DRAIN_REQUESTED,
    EXIT_HELD,
    EXIT_HOME_GONE,
    EXIT_SCHEMA,
    EXIT_USAGE,
)
from fornada.worker.preparation import Prepared
from fornada.worker.upkeep import UpkeepThread
from fornada.worker.wakeups import consumer, payloads
from fornada.worker.wakeups.outage import Outage

log = logging.getLogger("fornada.worker")

# Pause between two attempts to reach the database at start.
DATABASE_PAUSE_S = 1.0
# Extra time after the grace, when all trainers have been killed: a slow database may need it to
# record the verdicts. Then the process ends anyway, and the leases expire.
DRAIN_EXTRA_S = 5.0
EXIT_STUCK = 70
# Packages whose versions the worker's row shows; `jax` is added where it is the Keras backend.
PACKAGES = ("fornada", "keras", "tensorflow")


def run(prepared: Prepared) -> int:
    """Take the worker's name, then run jobs until the worker is drained.

    Returns:
        The exit code: EXIT_DRAIN_REQUESTED if a person drained the worker, a refusal of
        `fornada.worker.host.options`, else Celery's.
    """
    try:
        return _run(prepared)
    except (SettingsError, DatabaseUnreachable, NotPermitted) as exc:
        # `_run` waits for a database that does not answer. DatabaseUnreachable here means that the
        # URL itself is wrong.
        log.error("%s", exc)  # noqa: TRY400 - for an operator
        return EXIT_USAGE
    except NameHeld as exc:
        log.error("%s", exc)  # noqa: TRY400
        return EXIT_HELD
    except SchemaMismatch as exc:
        log.error("%s", exc)  # noqa: TRY400
        return EXIT_SCHEMA
    finally:
        prepared.trainers.close()


def _run(prepared: Prepared) -> int:
    options, settings = prepared.options, prepared.settings
    # Fails at once where the setting is missing.
    broker.broker_url(settings)
    database = Database(settings.sql_url)
    context = WorkerContext(
        name=options.name,
        host=socket.gethostname(),
        settings=settings,
        database=database,
        queues=options.queues,
        trainers=prepared.trainers,
        fitness=Fitness(
            settings,
            database,
            options.name,
            [slot.name for slot in prepared.slots],
            prepared.home,
        ),
        versions=_versions(),
    )
    supervisors = Supervisors(list(prepared.slots), context)
    schema = _take_name(supervisors, prepared.heartbeat, options.begun)
    context.fitness.begin(schema.fleet)
    return _serve(supervisors, prepared.heartbeat, broker.make_app(settings, schema.fleet))


def _take_name(supervisors: Supervisors, heartbeat: Heartbeat, begun: float) -> migrations.Schema:
    """Wait until the database answers, then register this worker's name there."""
    database, settings = supervisors.context.database, supervisors.context.settings
    pause = threading.Event()
    logged = False
    while True:
        try:
            schema = migrations.prepare(database, may_upgrade=settings.embedded)
            # A client may have locked the row that had this worker's name before.
            end_long_transactions(database, settings)
            names.take_name(database, settings, supervisors.facts(), heartbeat.before, begun)
        except DatabaseUnreachable as exc:
            if not logged:
                log.warning("waiting for the database: %s", exc)
            logged = True
            pause.wait(DATABASE_PAUSE_S)
        else:
            return schema


def _serve(supervisors: Supervisors, heartbeat: Heartbeat, app: App) -> int:
    context = supervisors.context
    app.conf.task_queues = [broker.queue(name) for name in context.queues]
    outage = Outage()
    upkeep = UpkeepThread(supervisors, app, heartbeat, outage)

    def drain(**_: object) -> None:
        heartbeat.draining()
        context.draining.set()

    hangup = signal.getsignal(signal.SIGHUP)

    def begin() -> None:
        # Celery has set its handlers. At SIGHUP it would start its command again, without ours;
        # here SIGHUP drains, as SIGTERM does, and stays ignored if it was ignored.
        drains = hangup is not signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM) if drains else hangup)
        upkeep.start()

    app.steps["worker"].add(consumer.around_pool(begin, drain))
    app.steps["consumer"].add(
        consumer.intake(supervisors.takes_wake_ups, supervisors.when_freed, heartbeat, outage)
    )

    @app.task(name=broker.TASK)  # type: ignore[untyped-decorator]
    def wake(*_: object, **payload: object) -> None:
        payloads.accept(context.database, payload)
        supervisors.run_jobs()

    def keep_our_logging(**_: object) -> None:
        """Do nothing: Celery sets up no logging when this signal has a receiver."""

    # weak=False: Celery keeps only weak references by default, and these are local functions.
    signals.worker_shutting_down.connect(drain, weak=False)
    signals.setup_logging.connect(keep_our_logging, weak=False)
    # Celery gives this warning to root, and names a remedy that does not apply to Fornada.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # At INFO, Celery writes one line a task. The log lines of the jobs already say the same.
    logging.getLogger("celery").setLevel(logging.WARNING)
    # It writes a line for each failed attempt to connect. Upkeep says once that Redis is away.
    logging.getLogger("celery.worker.consumer.consumer").setLevel(logging.CRITICAL)

    done = threading.Event()
    threading.Thread(target=_end_if_stuck, args=(context, done), daemon=True).start()
    worker = app.Worker(
        hostname=f"{context.name}@fornada",
        # One more than the slots: Celery may still count a wake-up that has just freed its slot.
        concurrency=len(supervisors.all) + 1,
        queues=list(context.queues),
        loglevel=logging.WARNING,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    # Celery gives this warning at each lost connection, about a setting that we chose. The worker
    # itself, when it is made, asks for all such warnings.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    try:
        worker.start()
    finally:
        # Whatever ended Celery: wait for the jobs that Celery does not know of.
        drain()
        upkeep.close()
        done.set()
    if context.fitness.record_is_gone:
        home = context.settings.home
        log.error("the home %s is gone, and the record of its stack with it: the worker ends", home)
        return EXIT_HOME_GONE
    return EXIT_DRAIN_REQUESTED if context.drain_requested.is_set() else int(worker.exitcode or 0)


def _end_if_stuck(context: WorkerContext, done: threading.Event) -> None:
    """End the process when a drain takes too long because a database or a driver hangs."""
    context.draining.wait()
    if not done.wait(context.settings.grace_s + DRAIN_EXTRA_S):
        log.error("the drain takes too long; ending at once")
        os._exit(EXIT_DRAIN_REQUESTED if context.drain_requested.is_set() else EXIT_STUCK)


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    backend = ("jax",) if os.environ.get("KERAS_BACKEND") == "jax" else ()
    for package in (*PACKAGES, *backend):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
