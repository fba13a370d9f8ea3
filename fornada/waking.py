"""Telling workers of jobs; never needed for a job to run, since upkeep tells them too."""

import time
from collections.abc import Mapping
from typing import Any

from fornada.connected import Connected
from fornada.errors import BrokerUnreachable, SettingsError

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

    def _wake(
        self, queue: str, uid: str | None = None, document: Mapping[str, Any] | None = None
    ) -> str | None:
        """Tell some worker of a queue; returns why none was told, None when one was."""
        from fornada import broker, local

        if self.settings.embedded and not local.running(self.settings):
            return NO_STACK
        if time.monotonic() < self._away_until:
            return self._away
        try:
            broker.publish(broker.make_app(self.settings), queue, uid, document)
        except SettingsError as error:
            return str(error)
        except BrokerUnreachable as error:
            self._away = f"{error}\n  The job is accepted; a worker takes it when Redis is back."
            self._away_until = time.monotonic() + AWAY_S
            return self._away
        return None
