"""Commands of the installed `fornada`, each forked from one process that has imported all of them.

A command imports for half a second or more what the next one imports again. Forked, it is a process
all the same: with its own arguments, environment, folder, standard streams and exit code.

    python -P -m tests.acceptance.forked FD     # serves the socket until its other end is closed
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fornada.cli.main import COMMANDS, main

REPOSITORY = Path(__file__).parents[2]
# What commands import when they need it.
LATER = (
    "fornada.client.client",
    "fornada.spec",
    "fornada.db.store.session",
    "psycopg",
    "celery",
    "rich.table",
    "redis",
    # For another account, which may not read the files of the interpreter.
    *("alembic.autogenerate", "alembic.command", "alembic.runtime.migration", "mako.template"),
    *("argparse", "configparser", "encodings.utf_8_sig", "gzip", "logging.handlers", "unicodedata"),
    *("fornada.cli.system_errors", "fornada.data.idx", "fornada.data.inspection"),
    *("fornada.data.packs", "fornada.stack.health", "fornada.preview"),
)
# A request: its arguments and its environment.
MOST_BYTES = 200_000


@dataclass(frozen=True)
class Streams:
    """What the command has for its standard streams; a `full` one takes no byte.

    Args:
        stdin: `text`, `closed`, or `full`, which cannot be read.
        stdout: `text`, `closed`, `full`, or `broken`: a pipe that nobody reads.
        stderr: as `stdout`.
    """

    stdin: str = "text"
    stdout: str = "text"
    stderr: str = "text"


USUAL = Streams()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: bytes


class Forks:
    """Starts the process at the first command."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def run(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        stdin: str | None,
        timeout_s: float,
        streams: Streams = USUAL,
        account: int | None = None,
    ) -> Ended:
        """Run `fornada` with these words to its end.

        Args:
            words: the command line.
            environment: all variables that the command sees.
            folder: the working directory. If it is empty, the command finds it removed.
            stdin: what the command reads.
            timeout_s: seconds after which the command is killed.
            streams: what its standard streams are.
            account: the number of the user that runs the command; only root can give another one.
        Raises:
            subprocess.TimeoutExpired: it was killed after `timeout_s`.
        """
        server = self._started(timeout_s)
        kinds = [streams.stdin, streams.stdout, streams.stderr]
        closed = [number for number, kind in enumerate(kinds) if kind == "closed"]
        words, variables = list(words), dict(environment)
        request = json.dumps([words, variables, str(folder), closed, account]).encode()
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            ExitStack() as opened,
        ):
            given.write((stdin or "").encode())
            given.seek(0)
            files = [
                file.fileno() if kind in {"text", "closed"} else opened.enter_context(_end_of(kind))
                for file, kind in zip((given, out, err), kinds, strict=True)
            ]
            socket.send_fds(server, [request], files)
            pid = int(server.recv(100))
            try:
                code = int(server.recv(100))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                server.recv(100)
                raise subprocess.TimeoutExpired(list(words), timeout_s) from None
            for file in (out, err):
                file.seek(0)
            return Ended(code, out.read(), err.read())

    def close(self) -> None:
        """End the process, and wait for it: what its commands used is counted then."""
        if self._process is not None and self._socket is not None:
            self._socket.close()
            assert self._process.wait(20) == 0
            self._process = self._socket = None

    def _started(self, timeout_s: float) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
                self._process = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
                )
        self._socket.settimeout(timeout_s)
        return self._socket


FORKS = Forks()


@contextmanager
def _end_of(kind: str) -> Iterator[int]:
    """A descriptor to which nothing can be written."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _serve(server: socket.socket) -> bool:
    """Fork a process for each request.

    Returns:
        True in such a process, False in this one when the other end is closed.
    """
    for target, _ in COMMANDS.values():
        importlib.import_module(target.partition(":")[0])
    for name in LATER:
        importlib.import_module(name)
    # What is there now stays: a child that walks through it would only copy its pages.
    gc.collect()
    gc.freeze()
    while True:
        request, streams, _, _ = socket.recv_fds(server, MOST_BYTES, 3)
        if not request:
            return False
        pid = os.fork()
        if pid == 0:
            server.close()
            words, environment, folder, closed, account = json.loads(request)
            _become(words, environment, folder, streams)
            _close(closed)
            if account is not None:
                os.setgroups([])
                os.setgid(account)
                os.setuid(account)
            return True
        for each in streams:
            os.close(each)
        server.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        server.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(words: list[str], environment: dict[str, str], folder: str, streams: list[int]) -> None:
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    # As the interpreter does when it starts.
    encoding = environment.get("PYTHONIOENCODING") or sys.stdout.encoding
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding=encoding, errors="backslashreplace", closefd=False
    )
    os.chdir(folder)
    with suppress(OSError):
        # Only an empty folder can be removed.
        Path(folder).rmdir()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(Path(sys.executable).with_name("fornada")), *words]


def _close(numbers: list[int]) -> None:
    """Close standard streams; the interpreter has none for a descriptor that is closed."""
    for number in numbers:
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as end:
        command = _serve(end)
    if command:
        try:
            main()
        except SystemExit as ended:
            # The interpreter flushes, and then frees every object: that copies the memory which
            # this process shares with the others, and takes as long as the command itself.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(ended.code or 0))
