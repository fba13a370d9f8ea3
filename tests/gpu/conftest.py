"""What the tests on a GPU share: the backends that reach one, and a site on private servers.

`make gpu-test` sets FORNADA_GPU_TEST to `gpu`. `make gpu-test ON=cpu` sets it to `cpu`: then CPU
slots stand in for GPUs, to see on any machine that the tests themselves work. Without the variable
nothing here is collected.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from tests.servers import RedisServer
from tests.worker_process import Site, WorkerProcess

ON = os.environ.get("FORNADA_GPU_TEST")
REHEARSAL = ON == "cpu"
collect_ignore_glob = [] if ON else ["*.py"]

# Prints how many GPUs a backend reaches. In a process of its own, because the backend then keeps
# their memory.
_REACHED = {
    "tensorflow": "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))",
    "jax": "import jax; print(sum(device.platform == 'gpu' for device in jax.devices()))",
}


class Backend:
    """A Keras backend on this host.

    Args:
        name: `tensorflow` or `jax`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.environment = {"KERAS_BACKEND": name}

    @property
    def gpus(self) -> int:
        """How many GPUs it reaches."""
        return _gpus(self.name)

    def slots(self, count: int) -> str:
        """`--slots` for so many slots with a GPU each."""
        return ",".join("cpu" if REHEARSAL else f"gpu:{number}" for number in range(count))

    def worker(
        self, site: Site, *arguments: str, slots: int = 1, more: Mapping[str, str] | None = None
    ) -> WorkerProcess:
        """A worker with real trainers on slots with a GPU."""
        environment = self.environment | dict(more or {})
        return site.keras_worker("--slots", self.slots(slots), *arguments, **environment)


@cache
def _gpus(name: str) -> int:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _REACHED[name]], capture_output=True, text=True, check=False
    )
    return int(done.stdout.split()[-1]) if done.returncode == 0 else 0


@pytest.fixture(params=list(_REACHED), scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend that reaches a GPU here."""
    found = Backend(request.param)
    if not REHEARSAL and found.gpus == 0:
        pytest.skip(f"{found.name} reaches no GPU here: its GPU build is not installed, or no GPU")
    return found


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to say "passed" where no backend reaches a GPU."""
    if ON == "gpu" and session.items and not any(_gpus(name) for name in _REACHED):
        pytest.exit("no backend reaches a GPU here; `make gpu-test ON=cpu` rehearses the tests", 1)
