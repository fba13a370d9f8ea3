"""Three things that Celery's consumer of a Redis queue should do, and does not.

It should take a message only while a slot is free: `worker_disable_prefetch` counts tasks, but a
slot may be busy without one. It should hear at once that one is free again. And it should survive
an element that is no message: kombu lets the error end the whole worker, and with it every job that
runs there.
"""

import logging
import os
from collections.abc import Callable
from types import MethodType
from typing import Any

from celery import bootsteps

from fornada.worker.host.heartbeat import Heartbeat
from fornada.worker.wakeups.filter import only_wake_ups

log = logging.getLogger("fornada.worker")

# How often the loop shows that it turns.
TURN_S = 1.0


def intake(
    has_room: Callable[[], bool],
    when_freed: Callable[[Callable[[], None]], None],
    heartbeat: Heartbeat,
) -> type[bootsteps.StartStopStep]:
    """The consumer's step that adds them; started anew after each reconnect.

    Args:
        has_room: whether some slot would take a job now.
        when_freed: takes what is to be called, from any thread, when that has become true.
        heartbeat: is told that the loop turns, and when it has lost Redis.
    """

    # A loop that listens to nothing, as while no slot is free, sleeps for a tenth of a second at a
    # time, and nobody can wake it: it listens to this, where nothing ever comes.
    silence = os.eventfd(0)

    class Intake(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            consumer.hub.add_reader(silence, lambda: None)
            channel = consumer.task_consumer.channel
            _only_with_room(channel.qos, has_room)
            only_wake_ups(channel)
            # Celery's loop looks again when something happens in it, else once a second.
            when_freed(lambda: consumer.hub.call_soon(heartbeat.turned))
            # Ends with this connection, as all that a step registers.
            consumer.hub.call_repeatedly(TURN_S, heartbeat.turned)
            heartbeat.connected()

        def stop(self, consumer: Any) -> None:
            heartbeat.disconnected()

    return Intake


def around_pool(
    begin: Callable[[], None], drain: Callable[[], None]
) -> type[bootsteps.StartStopStep]:
    """The worker's step that stands between its signal handlers and its threads.

    Args:
        begin: called when a SIGTERM is a drain, and no longer the end of the process.
        drain: called before the threads are waited for. Celery stops so after any error that it
            cannot cure; without this it would wait, deaf, until the running jobs have ended.
    """

    class AroundPool(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.components:Pool",)

        def start(self, worker: Any) -> None:
            begin()

        def stop(self, worker: Any) -> None:
            drain()

        terminate = stop

    return AroundPool


def _only_with_room(qos: Any, has_room: Callable[[], bool]) -> None:
    allowed = qos.can_consume

    def can_consume(_: Any) -> bool:
        return has_room() and bool(allowed())

    qos.can_consume = MethodType(can_consume, qos)
