"""When a worker's parent calls its Celery process hung, and when it does not."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fornada.db.records import WorkerProcess
from fornada.stack import dead_workers
from fornada.worker.host import heartbeat_file
from fornada.worker.host.hangs import LOOP_S, ROUND_S, SILENT_S, STARTING_S, HangDetector, check
from fornada.worker.host.heartbeat import Heartbeat
from fornada.worker.host.heartbeat_file import Beat, Doing, NameHeld
from tests.until import until

WELL = Beat(
    pid=7,
    doing=Doing.CONSUMING,
    at=100.0,
    loop=100.0,
    beat=100.0,
    look=100.0,
    jobs=1,
    grace_s=60.0,
    upkeep_s=10.0,
)


def _after(seconds: int, shown: Beat | None, *moving: str) -> str | None:
    """What a parent says that looked each second; `moving` moments go on meanwhile."""
    watch = HangDetector()
    for second in range(seconds + 2):
        if shown is not None:
            changed = {name: getattr(WELL, name) + second for name in moving}
            shown = replace(shown, **changed)
        said = watch.look(shown, 1.0)
        if said is not None:
            return said
    return None


@pytest.mark.parametrize(
    ("shown", "moving", "limit_s", "says"),
    [
        (None, (), STARTING_S, "has not come up"),
        (WELL, ("loop", "beat", "look"), SILENT_S, "sends no heartbeat"),
        (WELL, ("at", "beat", "look"), LOOP_S, "takes wake-ups hangs"),
        (WELL, ("at", "loop", "look"), ROUND_S, "upkeep hangs"),
        (WELL, ("at", "loop", "beat"), ROUND_S, "takes nothing"),
        (
            replace(WELL, doing=Doing.CONNECTING),
            ("at", "beat", "look"),
            LOOP_S,
            "does not connect to a Redis that answers",
        ),
    ],
)
def test_what_stands_still_for_too_long_is_told(
    shown: Beat | None, moving: tuple[str, ...], limit_s: float, says: str
) -> None:
    assert _after(int(limit_s), shown, *moving) is not None
    assert says in str(_after(int(limit_s), shown, *moving))
    assert _after(int(limit_s) - 3, shown, *moving) is None


@pytest.mark.parametrize(
    "shown",
    [
        # Redis is away: nothing is expected of the loop.
        replace(WELL, doing=Doing.CONNECTING, loop=None),
        # All slots are busy, for as long as their jobs take.
        replace(WELL, look=None),
        replace(WELL, doing=Doing.STARTING, loop=None, beat=None, look=None),
        replace(WELL, doing=Doing.DRAINING, loop=None, beat=None, look=None),
    ],
)
def test_what_is_not_expected_is_not_missed(shown: Beat) -> None:
    moving = [name for name in ("at", "loop", "beat", "look") if getattr(shown, name) is not None]
    assert _after(10_000, shown, *moving) is None


def test_rare_rounds_of_upkeep_are_waited_for() -> None:
    assert _after(3000, replace(WELL, upkeep_s=600.0), "at", "loop", "look") is None


def test_a_parent_that_was_stopped_itself_calls_nobody_silent() -> None:
    watch = HangDetector()

    assert watch.look(WELL, 1.0) is None
    assert watch.look(WELL, 3600.0) is None


def test_a_name_belongs_to_one_living_worker_of_a_home(tmp_path: Path) -> None:
    held = heartbeat_file.take(tmp_path, "w")

    with pytest.raises(NameHeld, match="a worker named w already runs in"):
        heartbeat_file.take(tmp_path, "w")
    other = heartbeat_file.take(tmp_path, "other")
    os.close(held)
    again = heartbeat_file.take(tmp_path, "w")
    assert [name for name, _ in heartbeat_file.living(tmp_path)] == ["other", "w"]
    os.close(other)
    os.close(again)


def test_a_killed_worker_leaves_its_file_until_its_end_is_recorded(tmp_path: Path) -> None:
    living, killed, young = [heartbeat_file.take(tmp_path, name) for name in ("w", "x", "y")]
    with subprocess.Popen(["true"]) as ended:  # noqa: S607
        pid = ended.pid
    for descriptor in (living, killed):
        heartbeat_file.write(descriptor, replace(WELL, pid=pid))
    assert dead_workers.found(tmp_path) == set()
    os.close(killed)
    # Killed before its first heartbeat: it had no job.
    os.close(young)
    dead = WorkerProcess("x", socket.gethostname(), pid)
    assert dead_workers.found(tmp_path) == {dead}
    # A caller that fails between the two leaves the file for the next one.
    assert next(iter(dead_workers.removed(tmp_path))) == dead
    assert dead_workers.found(tmp_path) == {dead}
    assert list(dead_workers.removed(tmp_path)) == [dead]
    assert [file.name for file in heartbeat_file.folder(tmp_path).iterdir()] == ["w"]
    os.close(living)


def test_the_file_of_a_copied_home_tells_of_no_killed_worker(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    with subprocess.Popen(["true"]) as ended:  # noqa: S607
        pid = ended.pid
    held = heartbeat_file.take(home, "w")
    heartbeat_file.write(held, replace(WELL, pid=pid))
    shutil.copytree(home, copy)
    assert dead_workers.found(copy) == set()
    assert list(dead_workers.removed(copy)) == []
    # Nor does a file whose process lives, whoever has lost its lock.
    heartbeat_file.write(held, replace(WELL, pid=os.getpid()))
    os.close(held)
    assert dead_workers.found(home) == set()


@pytest.fixture
def heart(tmp_path: Path) -> Iterator[Heartbeat]:
    """The heart of a process that has come up in a home of the test's own."""
    made = Heartbeat(heartbeat_file.take(tmp_path, "w"), grace_s=60.0, upkeep_s=10.0)
    made.start()
    yield made
    made.close()


def test_a_heartbeat_says_what_the_process_is_about(tmp_path: Path, heart: Heartbeat) -> None:
    assert check(tmp_path, None) == (False, "w: it has not come up yet")
    heart.begin(lambda: (0, time.monotonic()))
    heart.connected()
    _shown(tmp_path, Doing.CONSUMING)
    assert check(tmp_path, "w") == (True, "w: consuming")
    heart.disconnected()
    shown = _shown(tmp_path, Doing.CONNECTING)
    assert shown.loop is None
    heart.broker(answers=True)
    heart.draining()
    # The connection goes last.
    heart.disconnected()
    assert _shown(tmp_path, Doing.DRAINING).beat is None
    assert check(tmp_path, "w")[0]
    assert check(tmp_path, "v") == (False, f"no worker named v runs in {tmp_path}")


def test_a_check_names_what_hangs(tmp_path: Path) -> None:
    descriptor = heartbeat_file.take(tmp_path, "w")
    now = time.monotonic()
    well = replace(WELL, at=now, loop=now, beat=now, look=now)
    for shown, says in (
        (well, "w: consuming"),
        (replace(well, loop=now - LOOP_S - 5), "hangs for 65 s"),
        (replace(well, at=now - SILENT_S - 5), "sends no heartbeat for 35 s"),
    ):
        heartbeat_file.write(descriptor, shown)
        good, said = check(tmp_path, None)
        assert says in said
        assert good is (shown is well)


def test_a_worker_that_ends_while_it_is_looked_for_runs_no_more(tmp_path: Path) -> None:
    heartbeat_file.folder(tmp_path).mkdir(parents=True)
    # A name that is listed, and gone when it is opened.
    (heartbeat_file.folder(tmp_path) / "one").symlink_to(tmp_path / "gone")
    assert check(tmp_path, None) == (False, f"no worker runs in {tmp_path}")


def _shown(home: Path, doing: Doing) -> Beat:
    def found() -> Beat | None:
        shown = dict(heartbeat_file.living(home))["w"]
        return shown if shown is not None and shown.doing is doing else None

    shown = until(found, 5.0)
    assert shown is not None
    return shown
