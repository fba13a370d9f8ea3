"""The parent of a worker: light, refuses what no restart cures, and restarts the rest."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import PROGRAM, Site

HEAVY = [
    "celery",
    "kombu",
    "sqlalchemy",
    "pydantic",
    "keras",
    "tensorflow",
    "fornada.settings",
    "fornada.db.store",
]


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    made = Site(sqlite_database_url, redis_server.url)
    yield made
    made.close()


def test_the_parent_loads_nothing_heavy() -> None:
    code = f"import sys, fornada.worker.host.main; print([n for n in {HEAVY} if n in sys.modules])"

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)

    assert done.stdout == b"[]\n"


def test_the_celery_process_is_closed_before_it_loads_anything_heavy() -> None:
    code = f"""
        import sys
        from fornada.worker import __main__, prctl
        closed = prctl.hide
        def hide():
            closed()
            print([name for name in {HEAVY} if name in sys.modules])
            raise SystemExit
        prctl.hide = hide
        __main__.main()
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]

    assert subprocess.run(command, capture_output=True, check=True).stdout == b"[]\n"


def test_what_is_hidden_is_closed_to_its_own_account() -> None:
    # As root the kernel compares capabilities too, so this becomes an ordinary account. That
    # alone hides a process until its next exec: it is opened again, to see that it was open.
    code = """
        import os
        from fornada.worker import prctl

        def read():
            child = os.fork()
            if child:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            try:
                open(f"/proc/{os.getppid()}/environ", "rb").read(1)
            except OSError:
                os._exit(1)
            os._exit(0)

        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        prctl._prctl(prctl.PR_SET_DUMPABLE, 1)
        before = read()
        prctl.hide()
        print(before, read())
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]

    assert subprocess.run(command, capture_output=True, check=True).stdout == b"True False\n"


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
    worker = site.worker("--slots", "1")
    try:
        for pause_s in (1, 2):
            celery = until(lambda: worker.celery, 40, saw=worker.text)
            os.kill(celery, signal.SIGKILL)
            until(lambda: f"again in {pause_s} s" in worker.text(), 40, saw=worker.text)  # noqa: B023
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(10) == 0
    finally:
        worker.kill()
    assert "again in 1 s" in worker.text()
    until(lambda: not site.processes(), 10, saw=site.processes)
