"""The parent of a worker: light, refuses what no restart cures, and restarts the rest."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import Site

PROGRAM = Path(sys.executable).with_name("fornada-worker")


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    made = Site(sqlite_database_url, redis_server.url)
    yield made
    made.close()


def test_the_parent_loads_nothing_heavy() -> None:
    heavy = ["celery", "kombu", "sqlalchemy", "pydantic", "keras", "tensorflow", "fornada", "db"]
    code = f"import sys, worker.main; print([n for n in {heavy} if n in sys.modules])"

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)

    assert done.stdout == b"[]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--help"], 0, "--slots"),
        (["--lots"], 2, "unrecognized arguments: --lots"),
        (["--queues", " , "], 2, "names no queue"),
    ],
)
def test_options_are_checked_before_anything_starts(
    arguments: list[str], code: int, says: str
) -> None:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ({"FORNADA_DATA_ROOT": ""}, 2, "FORNADA_DATA_ROOT"),
        ({"FORNADA_GRACE_S": "long"}, 2, "FORNADA_GRACE_S"),
        ({"FORNADA_DATABASE_URL": "mysql://u:hushhush@h/d"}, 2, "only sqlite and postgresql"),
        ({"FORNADA_DATABASE_URL": "sqlite:////tmp/fw-none.db"}, 6, "fornada db upgrade"),
    ],
)
def test_what_a_restart_cannot_cure_ends_the_worker(
    site: Site, wrong: dict[str, str], code: int, says: str
) -> None:
    environment = {name: value for name, value in site.environment(**wrong).items() if value}
    done = subprocess.run(
        [PROGRAM, "--slots", "1"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "hushhush" not in done.stderr


def test_what_ends_is_started_again_after_growing_pauses(site: Site) -> None:
    worker = site.worker("--slots", "1", FORNADA_BROKER_URL="nonsense://host")

    until(lambda: "again in 2 s" in worker.text(), 30, saw=worker.text)
    worker.process.send_signal(signal.SIGTERM)

    assert worker.process.wait(10) == 0
    assert "again in 1 s" in worker.text()
    assert site.processes() == []
