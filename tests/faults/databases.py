"""Sites whose PostgreSQL a test may stop, kill or stand in front of."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from fornada.db.reads import history
from tests.faults.proxy import Proxy, through
from tests.servers import PostgresServer
from tests.worker_process import Site

# Where a server listens, in its folder.
SOCKET = ".s.PGSQL.5432"


@contextmanager
def durable_site(server: PostgresServer, broker_url: str) -> Iterator[Site]:
    """A site on a server that may be killed: what was committed there is kept."""
    name = f"site_{uuid.uuid4().hex[:8]}"
    server.execute(f"CREATE DATABASE {name}")
    # The test server forgets durability; here what was committed must outlive its being killed.
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    with Site(server.url(name), broker_url) as site:
        yield site


@contextmanager
def proxied(server: PostgresServer, site: Site) -> Iterator[tuple[Proxy, dict[str, str]]]:
    """A proxy of the server, and the environment of a worker of the site that goes through it."""
    with Proxy(server.folder / SOCKET) as proxy:
        yield proxy, {"FORNADA_DATABASE_URL": through(site.database_url, proxy)}


def epochs_in_order(site: Site, job_id: int) -> int:
    """See that no epoch of a job is missing or doubled; how many there are."""
    numbers = [row["epoch"] for row in history.epochs(site.database, job_id)]
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    return len(numbers)
