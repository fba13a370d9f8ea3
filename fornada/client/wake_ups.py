"""Telling workers of jobs; never needed for a job to run, since upkeep tells them too."""

import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fornada.errors import BrokerUnreachable, SettingsError
from fornada.settings import Settings

if TYPE_CHECKING:
    from fornada.stack.broker import Publisher

# Seconds for which a Redis that was found away is not tried again: a hung one costs two a try.
AWAY_S = 30.0
NO_STACK = (
    "no stack is up here. The job is accepted; it runs once one is: fornada up, in another "
    "terminal."
)


class WakeUps:
    """Publishes wake-ups, as far as Redis takes them.

    Args:
        settings: name the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._away_until = 0.0
        self._away = ""

    def send(
        self, queue: str, uid: str | None = None, document: Mapping[str, Any] | None = None
    ) -> str | None:
        """Tell a worker of a queue that a job waits.

        Args:
            queue: of the job.
            uid: of the job; None for a wake-up that names none.
            document: the fields of `fornada.db.records.NewJob`, for a worker that records the job.
        Returns:
            Why no worker was told; None when one was.
        """
        from fornada.stack import local

        if self._settings.embedded and not local.running(self._settings):
            return NO_STACK
        if time.monotonic() < self._away_until:
            return self._away
        try:
            self._publisher.publish(queue, uid, document)
        except SettingsError as error:
            return str(error)
        except BrokerUnreachable as error:
            self._away = f"{error}\n  The job is accepted; a worker takes it when Redis is back."
            self._away_until = time.monotonic() + AWAY_S
            return self._away
        return None

    def close(self) -> None:
        """Close the connection to Redis, where there is one."""
        if "_publisher" in self.__dict__:
            self._publisher.close()
            del self.__dict__["_publisher"]

    @cached_property
    def _publisher(self) -> "Publisher":
        from fornada.stack import broker

        return broker.Publisher(broker.make_app(self._settings))
