"""Every command where its output is lost, or its home is not its own: it says so, and its code too.

The commands come from Click's tree. Each is forked, which takes a tenth of the time of a process.
"""

import json
import os
import pty
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fornada.client import Client
from fornada.db.accounts import this_account
from fornada.settings import Settings
from tests.acceptance.forked import FORKS, USUAL, Ended, Streams
from tests.acceptance.installed import PROGRAM, REPOSITORY, Fornada
from tests.acceptance.prepared import HELD_JOB, PATIENT, Prepared, leaves, prepare
from tests.faults.disk import SmallDisk, as_root

# An account without a right to anything, and one that has no name and no home.
NOBODY, NAMELESS = 65534, 54321
PATIENCE_S = 60.0
LEAVES = {" ".join(path): (path, command) for path, command in leaves()}
# Start a stack, or a process with Keras: seconds each. They write as the others do.
SLOW = {"run", "up", "data check", "data pack"}
# Announce the job that they make on stderr.
ANNOUNCE = {"submit", "clone", "extend"}
# Change the home: they cannot work where it cannot be written.
WRITE = ANNOUNCE | {"run", "up", "cancel", "hold", "release", "move", "retry", "worker drain"}
WRITE |= {"queue pause", "queue resume", "queue set"}
# Use the current folder: paths begin there.
READ_FOLDER = {"run", "check", "render", "submit", "data check", "data pack"}
# Need no home.
HOMELESS = {"completion", "data import", "schema"}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    ended: Ended

    @property
    def code(self) -> int:
        return self.ended.code

    @property
    def said(self) -> str:
        """What it wrote to stderr; never that something inside Fornada is wrong."""
        said = self.ended.stderr.decode()
        assert "Traceback" not in said
        assert "Internal error" not in said
        return said


class House:
    """Makes a fresh copy of one prepared home for each command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "prepared").mkdir()
        self._prepared = prepare(folder / "prepared")

    def fresh(self, place: Path | None = None) -> Prepared:
        """A copy; at `place`, or where the copy before was."""
        folder = place or self._folder / "copy"
        if folder.exists():
            remove(folder)
        shutil.copytree(self._prepared.folder, folder)
        return Prepared(folder)

    def run(
        self,
        name: str,
        home: Prepared,
        *more: str,
        streams: Streams = USUAL,
        account: int | None = None,
        folder: Path = REPOSITORY,
        **variables: str | None,
    ) -> Ran:
        """Run a command in a home; `variables` set to None are not there."""
        path, command = LEAVES[name]
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        usual = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent"}
        ours: dict[str, str | None] = {"FORNADA_HOME": str(home.home), "TERM": "dumb"}
        environment = {**usual, **ours, **PATIENT, **variables}
        ended = FORKS.run(
            [*home.line(path, command, out), *more],
            environment={key: value for key, value in environment.items() if value is not None},
            folder=folder,
            stdin="",
            timeout_s=PATIENCE_S,
            streams=streams,
            account=account if os.geteuid() == 0 else None,
        )
        return Ran(ended)


def remove(folder: Path) -> None:
    """Remove a folder, although a test may have protected its home."""
    for inside, folders, _ in os.walk(folder):
        for each in folders:
            (Path(inside) / each).chmod(0o755)
    shutil.rmtree(folder)


def states(home: Prepared) -> dict[int, str]:
    """The state of each job of a home, read without Fornada."""
    connection = sqlite3.connect(f"file:{home.home / 'fornada.db'}?mode=ro", uri=True)
    with closing(connection):
        return dict(connection.execute("SELECT id, state FROM job"))


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    # Not a folder of pytest's, which other accounts cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="fornada-", dir="/tmp"))
    folder.chmod(0o755)
    yield House(folder)
    remove(folder)


@pytest.fixture(scope="module")
def usual(house: House) -> dict[str, Ran]:
    """How each command ends where nothing is odd."""
    return {name: house.run(name, house.fresh()) for name in sorted(LEAVES.keys() - SLOW)}


@pytest.fixture(scope="module")
def left(house: House) -> dict[str, dict[int, str]]:
    """The states of jobs that a command leaves, for those that change any."""
    found = {}
    for name in sorted(WRITE - SLOW):
        home = house.fresh()
        house.run(name, home)
        found[name] = states(home)
    return found


def test_each_command_works_in_the_prepared_home(usual: dict[str, Ran]) -> None:
    # No stack is up there.
    codes = {name: ran.code for name, ran in usual.items() if ran.code}
    assert codes == {"down": 5, "worker start": 5}
    assert [name for name, ran in usual.items() if not (ran.ended.stdout or ran.said)] == []


@pytest.mark.parametrize(
    "streams", [Streams(stdout="full"), Streams("closed", "closed"), Streams(stdout="broken")]
)
def test_an_answer_that_is_lost_is_no_success(
    house: House, usual: dict[str, Ran], left: dict[str, dict[int, str]], streams: Streams
) -> None:
    for name, whole in usual.items():
        home = house.fresh()
        ran = house.run(name, home, streams=streams)
        # Who closes a pipe has read enough.
        lost = whole.ended.stdout and streams.stdout != "broken"
        assert ran.code == (whole.code or (7 if lost else 0)), (name, ran)
        assert ran.said.startswith(whole.said), name
        assert ("answer is lost" in ran.said) == bool(lost), name
        changes = name in WRITE | {"worker start", "data import", "data gc", "db upgrade"}
        assert ("stays done" in ran.said) == bool(lost and changes), name
        assert name not in left or states(home) == left[name], name


@pytest.mark.parametrize("streams", [Streams(stderr="full"), Streams("closed", stderr="closed")])
def test_progress_that_is_lost_changes_nothing_but_a_job_that_is_not_announced(
    house: House, usual: dict[str, Ran], left: dict[str, dict[int, str]], streams: Streams
) -> None:
    for name, whole in usual.items():
        home = house.fresh()
        ran = house.run(name, home, streams=streams)
        assert ran.code == (whole.code or (7 if name in ANNOUNCE else 0)), (name, ran)
        # Their job is announced on stdout then.
        assert bool(ran.ended.stdout) == bool(whole.ended.stdout or name in ANNOUNCE), name
        assert name not in left or states(home) == left[name], name


@pytest.mark.parametrize("form", ["-q", "--json"])
def test_the_id_of_a_job_is_on_stderr_if_stdout_is_lost(house: House, form: str) -> None:
    ran = house.run("submit", house.fresh(), form, streams=Streams(stdout="full"))
    assert ran.code == 7
    assert f"job {HELD_JOB + 1}: first" in ran.said


def test_all_jobs_are_changed_although_nobody_reads_on(house: House) -> None:
    home = house.fresh()
    ran = house.run("cancel", home, "4", streams=Streams(stdout="broken"))
    assert (ran.code, states(home)[2], states(home)[4]) == (0, "cancelled", "cancelled")


def test_the_interpreter_itself_without_streams(house: House) -> None:
    home = house.fresh()
    script = """
        fornada=$1; spec=$2
        $fornada submit -q $spec >&-; echo $?
        $fornada check - <&-; echo $?
        $fornada submit -q $spec <&- 2>&-; echo $?
    """
    done = subprocess.run(
        ["/bin/bash", "-c", script, "bash", PROGRAM, home.spec],
        cwd=REPOSITORY,
        env=os.environ | PATIENT | {"FORNADA_HOME": str(home.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["7", "3", "6", "0"]
    assert "job 5: first" in done.stderr
    assert "<stdin>" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(states(home)) == 6


def test_a_person_who_types_a_spec_is_told_how_to_end_it(house: House) -> None:
    home = house.fresh()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, "check", "-"],
        cwd=REPOSITORY,
        env=os.environ | {"FORNADA_HOME": str(home.home)},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        os.close(theirs)
        assert command.stderr is not None
        assert "Ctrl-D" in command.stderr.readline()
        os.write(ours, b"name: typed\n\x04")
        said = command.stderr.read()
    os.close(ours)
    assert command.returncode == 3
    assert "<stdin>" in said


def test_texts_that_the_terminal_cannot_write_are_escaped(house: House) -> None:
    home = house.fresh()
    with Client(Settings(home=home.home)) as client:
        client.submit(home.spec, tags={"owner": "łódź"})
    listed = house.run("ls", home, PYTHONIOENCODING="latin-1")
    assert (listed.code, b"owner=\\u0142" in listed.ended.stdout) == (0, True), listed
    listed = house.run("ls", home, "--json", PYTHONIOENCODING="latin-1")
    assert json.loads(listed.ended.stdout)["jobs"][0]["tags"]["owner"] == "łódź"


def test_a_terminal_that_knows_no_escapes_gets_none(house: House) -> None:
    home = house.fresh()
    dumb = Fornada(home.home, {**PATIENT, "TERM": "dumb"})
    said = dumb.on_terminal("wait", 1)
    assert "Confusion matrix" in said
    assert "\x1b" not in said


def protect(home: Prepared, mode: int) -> None:
    """Take the rights of others from a home; for root, others are another account."""
    if os.geteuid() != 0:
        for each in home.home.rglob("*"):
            each.chmod((0o555 if each.is_dir() else 0o444) & (mode | 0o555))
    home.home.chmod(mode)


def test_a_home_of_another_account_can_be_read_but_not_changed(
    house: House, usual: dict[str, Ran]
) -> None:
    whose = this_account()
    for name in sorted(LEAVES.keys() - {"data check", "data pack"}):
        home = house.fresh()
        protect(home, 0o755 if os.geteuid() == 0 else 0o555)
        ran = house.run(name, home, account=NOBODY)
        if name in WRITE | {"data gc", "doctor"}:
            assert ran.code == 6, (name, ran)
            said = ran.said + ran.ended.stdout.decode()
            assert (str(home.home) in said, f"belongs to {whose}" in said) == (True, True), name
            assert "tarting" not in said, name
        elif name != "data import":
            assert ran.code == usual[name].code, (name, ran)


def test_a_log_of_writes_does_not_keep_readers_out(house: House, usual: dict[str, Ran]) -> None:
    home = house.fresh()
    with closing(sqlite3.connect(home.home / "fornada.db")) as connection:
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    protect(home, 0o755 if os.geteuid() == 0 else 0o555)
    for name in ("ps", "show"):
        ran = house.run(name, home, account=NOBODY)
        assert (ran.code, len(ran.ended.stdout)) == (0, len(usual[name].ended.stdout))
    assert house.run("cancel", home, account=NOBODY).code == 6


def test_a_home_that_is_closed_is_told_by_every_command(house: House) -> None:
    home = house.fresh()
    before = states(home)
    protect(home, 0o700 if os.geteuid() == 0 else 0o000)
    for name in sorted(LEAVES.keys() - HOMELESS):
        ran = house.run(name, home, account=NOBODY)
        assert (ran.code, str(home.home) in ran.said) == (2, True), (name, ran)
    home.home.chmod(0o755)
    assert states(home) == before


def test_an_account_without_a_home_is_told_what_to_set(house: House) -> None:
    home = house.fresh()
    # Only root can be an account without a name; for others, the home is that of such an account.
    place = None if os.geteuid() == 0 else "~nobody-has-this-name/home"
    for name in sorted(LEAVES.keys() - HOMELESS):
        ran = house.run(name, home, account=NAMELESS, HOME=None, FORNADA_HOME=place)
        assert (ran.code, "Set FORNADA_HOME" in ran.said) == (2, True), (name, ran)


def test_a_current_folder_that_is_gone_matters_only_to_who_reads_it(
    house: House, usual: dict[str, Ran], tmp_path: Path
) -> None:
    for name in sorted(LEAVES.keys() - {"up"}):
        (tmp_path / "gone").mkdir()
        ran = house.run(name, house.fresh(), folder=tmp_path / "gone")
        expected = 2 if name in READ_FOLDER else usual[name].code
        assert ran.code == expected, (name, ran)
        assert ("current folder" in ran.said) == (name in READ_FOLDER), name


def test_a_full_disk_is_told_by_what_must_write(
    house: House, usual: dict[str, Ran], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not as_root(request):
        return
    with SmallDisk(tmp_path / "disk", size_bytes=8 * 2**20) as disk:
        for name in sorted(LEAVES.keys() - {"data check", "data pack"}):
            disk.free()
            home = house.fresh(disk.folder / "copy")
            before = states(home)
            disk.fill()
            ran = house.run(name, home)
            if name in WRITE:
                assert ran.code == (5 if name in {"run", "up"} else 6), (name, ran)
                assert str(home.home) in ran.said, name
                assert states(home) == before, name
            else:
                assert ran.code == (14 if name == "doctor" else usual[name].code), (name, ran)
