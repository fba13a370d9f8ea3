"""The factory as a worker meets it: what it forks, what it answers, how it ends."""

import ctypes
import errno
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fornada.worker.slots import factory
from fornada.worker.slots.factory import Factory, FactoryEnded
from fornada.worker.slots.trainer_process import Trainer
from tests import processes
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import STUB, Site

START_S = 20.0
# linux/prctl.h
GET_CHILD_SUBREAPER = 37


def says(*numbers: int) -> str:
    """A program that gives these answers, one a request but for the first, and then none."""
    code = f"""
import signal, socket, struct, sys
connection = socket.socket(fileno=int(sys.argv[2]))
for number in {numbers}:
    connection.send(struct.pack("i", number))
    connection.recv(4096)
signal.pause()
"""
    return shlex.join((sys.executable, "-c", code))


@pytest.fixture
def site(sqlite_database_url: str, redis_server: RedisServer) -> Iterator[Site]:
    """A database, a home and a queue of the test's own."""
    with Site(sqlite_database_url, redis_server.url) as made:
        yield made


@pytest.fixture
def lock() -> Iterator[int]:
    """A descriptor in place of a slot's lock."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_a_factory_that_hangs_before_it_is_ready_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "IMPORT_S", 0.2)
    with closing(
        Factory([sys.executable, "-c", "import signal; signal.pause()"], os.environ)
    ) as made:
        with pytest.raises(FactoryEnded, match="SIGKILL"):
            until(lambda: made.ready(0.05), START_S)
        assert not made.running


def started(command: str) -> Factory:
    """A factory that can fork."""
    made = Factory(shlex.split(command), os.environ)
    assert made.ready(START_S)
    return made


@pytest.mark.parametrize("which", [signal.SIGSEGV, signal.SIGTERM, signal.SIGKILL])
def test_the_worker_sees_how_a_trainer_ended_whose_factory_is_gone(
    lock: int, which: signal.Signals
) -> None:
    with closing(started(STUB)) as made, made.trainer({}, lock) as trainer:
        end = made.close()
        assert (end.status, trainer.running) == (-signal.SIGKILL, True)

        os.kill(trainer.pid, which)
        until(lambda: not trainer.running, 5)
        assert trainer.end().status == -which


def test_a_trainer_is_a_child_and_leads_a_session(lock: int) -> None:
    with closing(started(STUB)) as made, made.trainer({}, lock) as trainer:
        assert set(processes.children(os.getpid())) >= {trainer.pid, made.pid}
        assert os.getsid(trainer.pid) == os.getpgid(trainer.pid) == trainer.pid
        assert os.getsid(made.pid) == made.pid
        assert processes.children(made.pid) == []
        # What trainers leave behind is adopted where it was before.
        adopts = ctypes.c_int(-1)
        assert ctypes.CDLL(None).prctl(GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0) == 0
        assert adopts.value == 0


def test_a_trainer_has_its_own_pipes_and_no_socket(lock: int) -> None:
    with closing(started(STUB)) as made:
        trainers = [made.trainer({}, lock) for _ in range(3)]
        # Each closes what it inherited from the factory as soon as it runs.
        until(lambda: not any(_opened(each, "socket") for each in trainers), START_S)
        own = [_opened(each, "pipe") for each in trainers]
        for each in trainers:
            each.kill()

    inherited = set.intersection(*own)
    assert [len(pipes - inherited) for pipes in own] == [2, 2, 2]


def _opened(trainer: Trainer, kind: str) -> set[str]:
    """The open files of a trainer that are of a kind, as the kernel names them."""
    names = (str(file.readlink()) for file in Path(f"/proc/{trainer.pid}/fd").iterdir())
    return {name for name in names if name.startswith(f"{kind}:")}


def test_what_the_host_refuses_is_an_error_of_the_host(lock: int) -> None:
    with closing(started(says(0, -errno.EAGAIN))) as made:
        with pytest.raises(BlockingIOError) as refused:
            made.trainer({}, lock)
        assert made.running

    assert refused.value.errno == errno.EAGAIN


def test_a_factory_that_hangs_is_ended(lock: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "FORK_S", 0.1)
    with closing(started(says(0))) as made:
        with pytest.raises(FactoryEnded) as ended:
            made.trainer({}, lock)
        assert not made.running

    assert ended.value.exit.status == -signal.SIGKILL


def test_a_factory_that_was_killed_says_so(lock: int) -> None:
    with closing(started(STUB)) as made:
        os.kill(made.pid, signal.SIGKILL)
        with pytest.raises(FactoryEnded) as ended:
            made.trainer({}, lock)

    assert ended.value.exit.status == -signal.SIGKILL


def test_a_host_without_room_for_a_trainer_fails_the_attempt(site: Site) -> None:
    with site.worker("--slots", "1", FORNADA_TRAINER_COMMAND=says(0, *[-errno.ENOMEM] * 9)):
        job = site.wait(site.add("fine", retry_attempts=1))

    assert (job["state"], job["failure"]["code"]) == ("failed", "HOST_OOM")


def test_a_worker_keeps_no_ended_trainer_and_gives_the_others_its_log(site: Site) -> None:
    with site.worker("--slots", "2", "--jobs-per-trainer", "1") as worker:
        for name in ("fine", "crash", "fine"):
            site.wait(site.add(name, retry_attempts=1))
        assert processes.children(worker.celery) == site.factories()

        job_id = site.in_epoch(1, "wait")
        trainer = site.show(job_id)["worker"]["trainer_pid"]
        assert sorted(processes.children(worker.celery)) == sorted([trainer, *site.factories()])
        assert [Path(f"/proc/{trainer}/fd/{n}").readlink() for n in (1, 2)] == [worker.log] * 2
        site.cancel(job_id)


def test_ps_tells_trainers_from_their_factory(lock: int) -> None:
    with closing(started(STUB)) as made, made.trainer({}, lock) as trainer:
        names = [processes.name(pid) for pid in (trainer.pid, made.pid)]

    assert names == ["fornada-trainer", "fornada-factory"]
