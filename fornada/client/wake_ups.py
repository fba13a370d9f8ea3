"""Wake workers when a job is queued.

A job runs without this too, only later: upkeep also wakes workers.
"""

import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fornada.errors import BrokerUnreachable, SettingsError
from fornada.settings import Settings

if TYPE_CHECKING:
    from fornada.stack.broker import Publisher

# Seconds before Redis is tried again after a failure. A try costs two seconds if Redis hangs.
AWAY_S = 30.0
ACCEPTED = "The job is accepted; a worker takes it in its next round of upkeep."
NO_STACK = (
    "no stack is up here. The job is accepted and will run when a stack is up: run fornada up in "
    "another terminal."
)


class WakeUps:
    """Publishes wake-ups to Redis; reports a failure as text instead of raising it.

    Args:
        settings: where the broker is.
        fleet: the uid of the database.
    """

    def __init__(self, settings: Settings, fleet: str | None) -> None:
        self._settings = settings
        self._fleet = fleet
        self._away_until = 0.0
        self._away = ""

    def send(
        self, queue: str, uid: str | None = None, document: Mapping[str, Any] | None = None
    ) -> str | None:
        """Wake a worker that serves a queue.

        Args:
            queue: the queue of the job.
            uid: the uid of the job; None to wake a worker without naming a job.
            document: the fields of `fornada.db.records.NewJob`; a worker uses them to record the
                job if the database does not have it.
        Returns:
            Why no wake-up was published; None if it was.
        """
        from fornada.stack import stack_lock

        if self._settings.embedded and not stack_lock.running(self._settings):
            return NO_STACK
        if time.monotonic() < self._away_until:
            return self._away
        try:
            self._publisher.publish(queue, uid, document)
        except SettingsError as error:
            return str(error)
        except BrokerUnreachable as error:
            self._away = (
                f"{error}\n  The job is accepted; a worker takes it in its next round of upkeep."
            )
            self._away_until = time.monotonic() + AWAY_S
            return self._away
        return None

    def problem(self) -> str | None:
        """Why Redis passes on no wake-ups now; None if it does, or if no stack is up here."""
        from fornada.stack import stack_lock

        if self._settings.embedded and not stack_lock.running(self._settings):
            return None
        try:
            self._publisher.check()
        except (SettingsError, BrokerUnreachable) as error:
            return str(error)
        return None

    def close(self) -> None:
        """Close the connection to Redis, if it was opened."""
        if "_publisher" in self.__dict__:
            self._publisher.close()
            del self.__dict__["_publisher"]

    @cached_property
    def _publisher(self) -> "Publisher":
        from fornada.stack import broker

        return broker.Publisher(broker.make_app(self._settings, self._fleet))
