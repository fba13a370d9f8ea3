"""Stands between clients and Redis, and answers commands with errors in the place of Redis.

It reads the protocol of Redis, RESP: https://redis.io/docs/latest/develop/reference/protocol-spec
"""

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

# Every error that Redis answers while it cannot serve, with its real text.
ERRORS = {
    "READONLY": "You can't write against a read only replica.",
    "OOM": "command not allowed when used memory > 'maxmemory'.",
    "LOADING": "Redis is loading the dataset in memory",
    "MASTERDOWN": "Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOPERM": "this user has no permissions to run this command",
    "WRONGPASS": "invalid username-password pair or user is disabled.",
    "NOAUTH": "Authentication required.",
    "MISCONF": "Redis is configured to save RDB snapshots, but it's unable to persist to disk.",
    "ERR": "max number of clients reached",
}
# Answers that contain others, by their first byte, and how many others for each that they count.
_COLLECTIONS = {b"*": 1, b"~": 1, b">": 1, b"%": 2}


class RefusingRedis:
    """A socket in a folder of its own; as a context manager it is open.

    Args:
        server: the socket of Redis.
    """

    def __init__(self, server: Path) -> None:
        # Short: a socket's path may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="fx-", dir="/tmp"))
        self.socket = self._folder / server.name
        # The commands that clients have sent, in upper case.
        self.seen: set[str] = set()
        # How often an error was answered.
        self.refused = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._error = ""
        self._command = ""

    def through(self, url: str) -> str:
        """The URL of the server, by this way."""
        return url.replace(str(self._server), str(self.socket))

    @contextmanager
    def refusing(self, code: str, command: str, *, anew: bool) -> Iterator[None]:
        """Answer a command with an error, until the end of the block.

        Args:
            code: of `ERRORS`.
            command: that is refused; every one when it is empty.
            anew: end all connections, so that clients must connect under these conditions.
        """
        self._command = command
        self._error = code
        if anew:
            self.cut()
        yield
        self._error = ""

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.socket))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        shutil.rmtree(self._folder)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                # Closed.
                return
            with self._lock:
                self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self._server))
            with client.makefile("rb") as commands, server.makefile("rb") as answers:
                while sent := _read(commands):
                    error = self._refusal(sent)
                    if error:
                        client.sendall(error)
                        continue
                    server.sendall(sent)
                    client.sendall(_read(answers))
        with self._lock:
            self._clients.discard(client)

    def _refusal(self, sent: bytes) -> bytes:
        """The error for a command; empty when Redis may answer it."""
        # "*2", "$4", "PING", …
        name = sent.split(b"\r\n", 3)[2].decode().upper()
        self.seen.add(name)
        code = self._error
        if not code or self._command not in ("", name):
            return b""
        self.refused += 1
        return f"-{code} {ERRORS[code]}\r\n".encode()


def _read(stream: BinaryIO) -> bytes:
    """One command or answer, as it came; empty at the end."""
    line = stream.readline()
    kind, count = line[:1], line[1:].strip()
    if kind in (b"$", b"=") and int(count) >= 0:
        line += stream.read(int(count) + 2)
    if kind in _COLLECTIONS:
        for _ in range(_COLLECTIONS[kind] * int(count)):
            line += _read(stream)
    return line
