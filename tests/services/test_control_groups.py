"""Trainers in control groups of their own, on a host where this account may make groups.

Such a host has control groups of version 2, with memory, and has given us the group that we are in:
a service of systemd with `Delegate=memory`, or the root of a virtual machine.
"""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fornada.db.answers import JobAnswer
from fornada.worker import control_groups
from tests.servers import RedisServer
from tests.until import until
from tests.worker_process import STUB, Site, WorkerProcess

# More than a stub trainer needs, and less than the job that is killed.
MOST_BYTES = 256 * 2**20
# A shell that enters the group $0, and then becomes the command.
ENTER = ("/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"')


@pytest.fixture
def group() -> Iterator[Path]:
    """An empty group of version 2 that limits memory, below the group of this process."""
    own = control_groups.group_of_this_process()
    if own is None:
        pytest.skip("this host has no control groups of version 2")
    made = own / f"test-{uuid.uuid4().hex[:8]}"
    try:
        (own / "cgroup.subtree_control").write_text("+memory")
        made.mkdir()
    except OSError as error:
        pytest.skip(f"this account may not make control groups: {error}")
    yield made
    # The groups below a group first.
    for folder in sorted((path for path in made.rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()
    made.rmdir()


@pytest.fixture
def site(redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(f"sqlite:///{tmp_path}/fornada.db", redis_server.url) as made:
        yield made


def worker(site: Site, group: Path, **more: str) -> WorkerProcess:
    """A worker with two slots that begins alone in a group, as a service does."""
    environment = site.environment(FORNADA_TRAINER_COMMAND=STUB, **more)
    return WorkerProcess(site, ("--slots", "2"), environment, (*ENTER, str(group)))


def groups_of(job: JobAnswer) -> str:
    """The path of the control group of a job's trainer."""
    assert job["worker"] is not None
    return Path(f"/proc/{job['worker']['trainer_pid']}/cgroup").read_text().strip()


def test_a_trainer_that_takes_more_than_its_limit_is_killed_alone(site: Site, group: Path) -> None:
    with worker(site, group, FORNADA_MAX_MEMORY_BYTES=str(MOST_BYTES)) as running:
        neighbour = site.in_epoch(1, "wait")
        trainer = site.show(neighbour)["worker"]
        assert trainer is not None
        own = group / f"trainer-{trainer['trainer_pid']}"
        assert groups_of(site.show(neighbour)).endswith(f"/{group.name}/{own.name}")
        assert (own / "memory.max").read_text() == f"{MOST_BYTES}\n"
        assert (own / "memory.oom.group").read_text() == "1\n"

        job = site.wait(site.add("eat-1024", retry_attempts=2))

        assert (job["state"], job["attempts"]) == ("failed", 2), running.text()
        codes = [one["failure"] and one["failure"]["code"] for one in job["executions"]]
        assert codes == ["HOST_OOM"] * 2
        assert job["failure"] is not None
        assert "FORNADA_MAX_MEMORY_BYTES" in job["failure"]["message"]
        assert site.state(neighbour) == "running"
        assert site.wait(site.add("eat-64"))["state"] == "succeeded"
        site.cancel(neighbour)
    until(lambda: not list(group.glob("trainer-*/cgroup.procs")) or _removable(group), 10)


def test_without_a_limit_a_trainer_has_a_group_all_the_same(site: Site, group: Path) -> None:
    with worker(site, group):
        job = site.show(site.in_epoch(1, "wait"))
        assert job["worker"] is not None
        own = group / f"trainer-{job['worker']['trainer_pid']}"
        assert (own / "memory.max").read_text() == "max\n"
        site.cancel(job["id"])


@contextmanager
def other_process(group: Path) -> Iterator[int]:
    """Another process in the group."""
    command = f"echo $$ > {group}/cgroup.procs; exec tail -f /dev/null"
    pid = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], {"PATH": os.defpath})
    try:
        until(lambda: str(pid) in (group / "cgroup.procs").read_text().split(), 10)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_group_with_processes_of_others_is_left_alone(site: Site, group: Path) -> None:
    with other_process(group), worker(site, group):
        job = site.show(site.in_epoch(1, "wait"))
        assert groups_of(job).endswith(f"/{group.name}")
        assert not (group / "fornada").exists()
        site.cancel(job["id"])


def test_a_group_that_systemd_has_given_away_is_ours_with_all_processes(
    site: Site, group: Path
) -> None:
    os.setxattr(group, "user.delegate", b"1")
    # As Redis and `fornada up` are in the group of the stack's service.
    with other_process(group) as other, worker(site, group):
        job = site.show(site.in_epoch(1, "wait"))
        assert "/trainer-" in groups_of(job)
        assert str(other) in (group / "fornada" / "cgroup.procs").read_text().split()
        site.cancel(job["id"])


def _removable(group: Path) -> bool:
    """Remove the groups of trainers that have ended; whether all are gone."""
    for folder in group.glob("trainer-*"):
        with suppress(OSError):
            folder.rmdir()
    return not list(group.glob("trainer-*"))
