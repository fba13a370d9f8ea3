"""Stands between clients and a server's Unix socket, and cuts or stalls what passes."""

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.faults.frontend import Frontend

READ_BYTES = 2**16
JOIN_S = 10.0


class Cut(Enum):
    """Where a connection is cut that commits."""

    # The server never hears of it: what it has is rolled back.
    BEFORE = auto()
    # It has committed, and its answer is lost.
    AFTER = auto()


class Proxy:
    """A socket of the same name in a folder of its own; as a context manager it is open.

    Args:
        server: the server's socket.
    """

    def __init__(self, server: Path) -> None:
        # Short: a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="fx-", dir="/tmp"))
        self.socket = self.folder / server.name
        self.server = server
        # What was cut in the middle of a commit: the statements of each transaction.
        self.commits: list[bytes] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._passing: set[_Passing] = set()
        self._listener: socket.socket | None = None
        self._wanted: tuple[Callable[[bytes], bool], Cut, bool] | None = None

    def open(self) -> None:
        """Let clients connect, again too."""
        self.socket.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        # Whoever may pass the folder may connect, as with the server's own.
        self.socket.chmod(0o777)
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """End every connection, and refuse new ones until it is opened again."""
        self._refuse()
        with self._lock:
            passing = list(self._passing)
        for each in passing:
            each.end()
        self._flowing.set()

    def _refuse(self) -> None:
        if self._listener is not None:
            self.socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def stall(self) -> None:
        """From now on nothing passes: clients connect, ask and wait."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let pass what was stalled, and what comes."""
        self._flowing.set()

    def cut_at_commit(self, of: Callable[[bytes], bool], where: Cut, *, away: bool = False) -> None:
        """Cut the next connection that commits a transaction whose statements are such.

        Only PostgreSQL's are understood.

        Args:
            of: whether the statements are such.
            where: before the commit or after it.
            away: also refuse new connections from then on, until it is opened again.
        """
        self._wanted = (of, where, away)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        shutil.rmtree(self.folder)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                # Cut.
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.server))
            except OSError:
                # The server is away; so are we.
                client.close()
                server.close()
                continue
            passing = _Passing(client, server, self)
            with self._lock:
                self._passing.add(passing)
            passing.start()

    def _over(self, passing: "_Passing") -> None:
        with self._lock:
            self._passing.discard(passing)

    def _verdict(self, transaction: bytes) -> Cut | None:
        """Whether a transaction that is about to commit is cut, and where."""
        with self._lock:
            if self._wanted is None or not self._wanted[0](transaction):
                return None
            _, where, away = self._wanted
            self._wanted = None
            if away:
                self._refuse()
            self.commits.append(transaction)
            return where


class _Passing:
    """One connection: a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
        self._client = client
        self._server = server
        self._proxy = proxy
        self._frontend = Frontend()
        # The next answer of the server is the last.
        self._last = False

    def start(self) -> None:
        for run in (self._up, self._down):
            threading.Thread(target=run, daemon=True).start()

    def end(self) -> None:
        for each in (self._client, self._server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._proxy._over(self)

    def _up(self) -> None:
        while data := _read(self._client):
            self._proxy._flowing.wait()
            committing = self._frontend.read(data)
            where = None if committing is None else self._proxy._verdict(committing)
            if where is Cut.BEFORE:
                break
            if where is Cut.AFTER:
                self._last = True
            if not _write(self._server, data):
                break
        # What the server answers to a commit is waited for, so that it is known to be done.
        if not self._last:
            self.end()

    def _down(self) -> None:
        while data := _read(self._server):
            self._proxy._flowing.wait()
            if self._last or not _write(self._client, data):
                break
        self.end()
        self._client.close()
        self._server.close()


def _read(source: socket.socket) -> bytes:
    try:
        return source.recv(READ_BYTES)
    except OSError:
        return b""


def _write(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def through(url: str, proxy: Proxy) -> str:
    """The URL of a server, by way of its proxy."""
    server, ours = str(proxy.server.parent), str(proxy.folder)
    # PostgreSQL's names the folder of its socket, quoted; Redis's the socket.
    return url.replace(quote(server, safe=""), quote(ours, safe="")).replace(server, ours)
