"""Adds four things that Celery's consumer of a Redis queue lacks.

- It takes a message only while a slot is free. `worker_disable_prefetch` counts Celery's tasks,
  but a slot may run a job without such a task.
- It notices at once that a slot has become free.
- It survives a list element that is not a message. In kombu such an error ends the whole worker,
  with all its jobs.
- It waits a while after Redis has answered with an error.
"""

import logging
import os
from collections.abc import Callable
from types import MethodType
from typing import Any

from celery import bootsteps

from fornada.worker.host.heartbeat import Heartbeat
from fornada.worker.wakeups.filter import only_wake_ups
from fornada.worker.wakeups.outage import Outage
from fornada.worker.wakeups.refusals import Refusals

log = logging.getLogger("fornada.worker")

# Seconds between two reports that the loop runs.
LOOP_REPORT_S = 1.0


def intake(
    has_room: Callable[[], bool],
    when_freed: Callable[[Callable[[], None]], None],
    heartbeat: Heartbeat,
    outage: Outage,
) -> type[bootsteps.StartStopStep]:
    """The step of Celery's consumer that adds the four things above; it starts at each reconnect.

    Args:
        has_room: whether a slot would take a job now.
        when_freed: registers a function to be called, from any thread, when a slot becomes free.
        heartbeat: told that the loop runs, and that it has lost Redis.
        outage: told whether Redis answers without an error.
    """

    # While no slot is free the loop listens to no descriptor. Then it would sleep a tenth of a
    # second at a time, and nothing could wake it. So it listens to this one, which never fires.
    never_ready = os.eventfd(0)

    class Intake(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            consumer.hub.add_reader(never_ready, lambda: None)
            channel = consumer.task_consumer.channel
            only_wake_ups(channel)
            refusals = Refusals(channel, outage)
            _only_when(channel.qos, lambda: has_room() and refusals.over())
            # Celery's loop calls `can_consume` after each event, or once a second. This call is
            # such an event.
            when_freed(lambda: consumer.hub.call_soon(heartbeat.loop_ran))
            # Celery removes this call when the connection ends.
            consumer.hub.call_repeatedly(LOOP_REPORT_S, heartbeat.loop_ran)
            heartbeat.connected()

        def stop(self, consumer: Any) -> None:
            heartbeat.disconnected()

    return Intake


def around_pool(
    begin: Callable[[], None], drain: Callable[[], None]
) -> type[bootsteps.StartStopStep]:
    """The step of Celery's worker that runs after its signal handlers are set, before its threads.

    Args:
        begin: called when the handlers are set: from then on SIGTERM means a drain.
        drain: called before Celery waits for its threads. Celery also stops in this way after an
            error. Without this call it would then wait for the running jobs and ignore signals.
    """

    class AroundPool(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Pool",)

        def start(self, worker: Any) -> None:
            begin()

        def stop(self, worker: Any) -> None:
            drain()

        terminate = stop

    return AroundPool


def _only_when(qos: Any, may_take: Callable[[], bool]) -> None:
    allowed = qos.can_consume

    def can_consume(_: Any) -> bool:
        return may_take() and bool(allowed())

    qos.can_consume = MethodType(can_consume, qos)
