"""Telling workers of jobs; never needed for a job to run, since upkeep tells them too."""

import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fornada.client.connection import Connected
from fornada.errors import BrokerUnreachable, SettingsError

if TYPE_CHECKING:
    from fornada.stack.broker import Publisher

# Seconds for which a Redis that was found away is not tried again: a hung one costs two a try.
AWAY_S = 30.0
NO_STACK = (
    "no stack is up here. The job is accepted; it runs once one is: fornada up, in another "
    "terminal."
)


class Waking(Connected):
    """Publishes wake-ups, as far as Redis takes them."""

    _away_until = 0.0
    _away = ""

    def close(self) -> None:
        """Close connections to the database and to Redis."""
        if "_publisher" in self.__dict__:
            self._publisher.close()
            del self.__dict__["_publisher"]
        super().close()

    def _wake(
        self, queue: str, uid: str | None = None, document: Mapping[str, Any] | None = None
    ) -> str | None:
        """Tell some worker of a queue; returns why none was told, None when one was."""
        from fornada.stack import local

        if self.settings.embedded and not local.running(self.settings):
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

    @cached_property
    def _publisher(self) -> "Publisher":
        from fornada.stack import broker

        return broker.Publisher(broker.make_app(self.settings))
