"""The Celery app of Fornada's broker."""

from typing import Any

import kombu
from celery import Celery


class App(Celery):  # type: ignore[misc]
    """A Celery app whose broker is the one of our settings.

    Celery itself prefers a variable `CELERY_BROKER_URL`, which may be meant for another program.
    """

    # By name, since a command that publishes nothing needs no transport.
    amqp_cls = "fornada.stack.transport:Amqp"

    def __init__(self, url: str) -> None:
        super().__init__("fornada", broker=url, set_as_current=False)
        # It contains the password: never print it.
        self.url = url

    def connection_for_read(self, url: str | None = None, **options: Any) -> kombu.Connection:
        """A connection of a worker."""
        connection: kombu.Connection = super().connection_for_read(url or self.url, **options)
        return connection

    def connection_for_write(self, url: str | None = None, **options: Any) -> kombu.Connection:
        """A connection of a publisher."""
        connection: kombu.Connection = super().connection_for_write(url or self.url, **options)
        return connection
