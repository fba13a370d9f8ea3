"""The installed `fornada`, driven as a person does: a subprocess with a home of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fornada.client import Client
from fornada.db.answers import JobAnswer
from fornada.settings import Settings
from fornada.stack import broker
from tests.acceptance.forked import FORKS
from tests.until import until

PROGRAM = Path(sys.executable).with_name("fornada")
REPOSITORY = Path(__file__).parents[2]
# Seconds for a worker to come and a small job to end, on a machine whose cores are all busy.
PATIENCE_S = 120.0
# What starts a stack or a worker is looked at as a process; an option alone is no command.
_ABOUT_PROCESSES = {"up", "run", "worker start", "--debug", "--help", ""}
# Commands that have been run in the way they are installed.
_LOADED: set[str] = set()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Fornada:
    """The command, in the repository's folder, with a private home."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    # Where its processes are looked at, each command is run in the way it is installed.
    forks: bool = True
    started: "list[subprocess.Popen[str]]" = field(default_factory=list, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """What the command sees: nothing of the person who runs the tests but the path."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "FORNADA_HOME": str(self.home), "TERM": "xterm-256color", **self.settings}

    def with_settings(self, **settings: str) -> "Fornada":
        """The same home, with more variables."""
        return replace(self, settings={**self.settings, **settings})

    def __call__(self, *words: object, code: int = 0, stdin: str | None = None) -> Done:
        """Run a command to its end, and see that it ends with `code`.

        Each is run once in the way it is installed; after that, most are forked.
        """
        said = [*map(str, words)]
        name = " ".join(said[:2] if said[:1] in (["worker"], ["data"]) else said[:1])
        forks = (
            self.forks
            and name in _LOADED
            and not any(each.startswith("PYTHON") for each in self.settings)
        )
        done = self._forked(said, stdin) if forks else self._executed(said, stdin)
        if name not in _ABOUT_PROCESSES:
            _LOADED.add(name)
        assert done.code == code, f"fornada {words}: {done}"
        return done

    def _executed(self, words: list[str], stdin: str | None) -> Done:
        ended = subprocess.run(
            [PROGRAM, *words],
            cwd=REPOSITORY,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def _forked(self, words: list[str], stdin: str | None) -> Done:
        ended = FORKS.run(
            words,
            environment=self.environment,
            folder=REPOSITORY,
            stdin=stdin,
            timeout_s=PATIENCE_S,
        )
        return Done(ended.code, ended.stdout.decode(), ended.stderr.decode())

    def start(self, *words: object) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def kill(self) -> None:
        """End what a test that failed has left running, so that it fails no other one."""
        for process in self.started:
            with process:
                process.kill()

    def on_terminal(self, *words: object) -> str:
        """Run a command on a terminal of 80 columns; what it wrote there, escapes and all."""
        ours, theirs = pty.openpty()
        command = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            cwd=REPOSITORY,
            env=self.environment | {"COLUMNS": "80"},
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        said = b"".join(_until_closed(ours))
        os.close(ours)
        assert command.wait(PATIENCE_S) == 0, said
        return said.decode()

    def up(self, *words: object) -> "subprocess.Popen[str]":
        """Start the embedded stack, and wait until a worker is there."""
        stack = self.start("up", *words)
        assert stack.stderr is not None
        said = []
        for line in stack.stderr:
            said.append(line)
            if line.startswith("Fornada is up"):
                return stack
        raise AssertionError(f"the stack ended: {said}")

    def show(self, job: object) -> JobAnswer:
        """The document of a job, as `show --json` prints it."""
        document: JobAnswer = self("show", job, "--json").document
        return document

    def wait_for(self, job: int | str, seen: Callable[[JobAnswer], bool]) -> None:
        """Wait until a job's document is as `seen` wants it.

        Asks the client, not the command: a process for each look would slow what it looks at.
        """
        with Client(Settings(home=self.home)) as client:
            until(lambda: seen(client.show(job)), PATIENCE_S, saw=lambda: client.show(job))

    def wait_for_epoch(self, job: int | str, number: int) -> None:
        """Wait until a job has run an epoch."""
        self.wait_for(job, lambda document: document["epochs_run"] >= number)

    def processes(self) -> dict[int, str]:
        """Command lines of living processes that belong to this home, by process id."""
        socket = str(broker.socket_path(Settings(home=self.home)))
        mark = f"FORNADA_HOME={self.home}"
        # Redis writes its title over its environment, so that its socket tells whose it is.
        return {pid: line for pid, line, words in _living() if mark in words or socket in line}

    def pid(self, word: str) -> int:
        """Process id of the one process of this home whose command line has a word."""
        (found,) = (pid for pid, line in self.processes().items() if word in line)
        return found


def _until_closed(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 4096)
        except OSError:
            # EIO: no process has the other end open any more.
            return


def _living() -> Iterable[tuple[int, str, list[str]]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            words = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        yield int(process.name), line, words


def end(process: "subprocess.Popen[str]", how: signal.Signals) -> Done:
    """Send a signal and wait for the end."""
    process.send_signal(how)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Done(process.returncode, stdout, stderr)
