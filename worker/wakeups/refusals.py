"""What a worker does when Redis answers its question for a wake-up with an error.

A Redis that is a replica, or gives the user too few rights, answers so at once, each time. To
connect again helps nothing, and Celery would do it several times a second.
"""

import time
from queue import Empty
from typing import Any

from redis.exceptions import RedisError, ResponseError

from fornada.stack import broker
from fornada.worker.wakeups.outage import Outage

# Seconds until Redis is asked again. Meanwhile idle slots look for jobs in SQL, as always.
PAUSE_S = 5.0
# The part of an outage that is reported here.
PART = "take"


class Refusals:
    """The pauses after errors, for one connection of Celery's consumer.

    Args:
        channel: the channel of the consumer. Its answers are read through this object from now on.
        outage: told whether Redis answers without an error.
    """

    def __init__(self, channel: Any, outage: Outage) -> None:
        self._until = 0.0
        self._outage = outage
        self._read = channel.handlers["BRPOP"]
        # Celery's loop calls the handler. A channel that is closed while it waits for an answer
        # calls `_brpop_read`.
        channel.handlers["BRPOP"] = channel._brpop_read = self._patient_read

    def over(self) -> bool:
        """Whether Redis may be asked for a wake-up now."""
        return time.monotonic() >= self._until

    def _patient_read(self, **options: Any) -> Any:
        try:
            found = self._read(**options)
        except Empty:
            self._outage.worked(PART)
            raise
        except RedisError as exc:
            if not answered(exc):
                raise
            self._outage.failed(PART, broker.reason(exc))
            self._until = time.monotonic() + PAUSE_S
            return None
        self._outage.worked(PART)
        return found


def answered(error: RedisError) -> bool:
    """Whether Redis itself sent this error; else the connection has failed.

    >>> from redis.exceptions import BusyLoadingError, ConnectionError, ReadOnlyError
    >>> answered(ReadOnlyError("You can't write", status_code="READONLY"))
    True
    >>> answered(BusyLoadingError("", status_code="LOADING")), answered(ConnectionError("reset"))
    (True, False)
    """
    return isinstance(error, ResponseError) or bool(getattr(error, "status_code", None))
