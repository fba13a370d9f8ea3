"""How Celery reaches Redis: kombu's transport, for which an error of Redis is like a Redis away.

Redis may answer any command with an error: it loads its data, is full, has become a replica, takes
no more clients, or has changed a password or the rights of a user. Each of these ends, and until
then nothing can be done but to ask again later. Kombu knows only a few of them as errors of the
connection. Any other one ends a Celery worker, with all jobs that it runs.
"""

from typing import Any

import kombu
from celery.app.amqp import AMQP
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """A channel that sends only what Fornada needs, and tries each command once."""

    def _size(self, queue: str) -> int:
        # Kombu asks for the size of a queue when it declares it. Nobody uses the answer, and the
        # question is a transaction, which a full Redis refuses although it only reads.
        return 0

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        # Without retries of its own, since whoever uses a connection knows how long it may wait.
        parameters: dict[str, Any] = super()._connparams(asynchronous)
        return parameters | {"retry": Retry(NoBackoff(), 0)}


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """After any error of Redis, Celery connects again, with pauses of up to half a minute."""

    Channel = Channel
    connection_errors = (*kombu_redis.Transport.connection_errors, RedisError)


class RedisConnection(kombu.Connection):  # type: ignore[misc]
    """A connection over this transport, whatever the scheme of its URL."""

    def get_transport_cls(self) -> type[Transport]:
        """The class of the transport."""
        return Transport


class Amqp(AMQP):  # type: ignore[misc]
    """The part of a Celery app that opens connections."""

    Connection = RedisConnection
