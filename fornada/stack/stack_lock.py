"""The lock of an embedded stack: the process that holds it runs the stack of its home.

Imports only the settings, because commands that only read ask it too.
"""

import json
import os
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fornada.errors import StackRunning
from fornada.locks import try_lock
from fornada.settings import Settings

# Seconds that a start waits for the lock. `running` holds it for a moment in other processes.
LOCK_S = 0.5
RETRY_S = 0.02
# Most bytes of the lock file.
_LONGEST = 1024


@dataclass(frozen=True)
class Holder:
    """The process that holds the lock, as it has written itself into the lock file.

    Attributes:
        pid: its process id. It is that of another process if the holder took the lock just now and
            has not written itself yet: see `fornada.stack.stopping`.
        command: the command that started the stack: `up` or `run`.
    """

    pid: int
    command: str


def file(settings: Settings) -> Path:
    """The lock file of a home."""
    return settings.home / "stack.lock"


def running(settings: Settings) -> bool:
    """Whether a process runs the embedded stack of this home."""
    try:
        handle = os.open(file(settings), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with closing(os.fdopen(handle, "rb")) as opened:
        return not try_lock(opened.fileno(), shared=True)


def holder(settings: Settings) -> Holder | None:
    """The process that runs the stack of this home; None if there is none, or if it cannot be read.

    The file keeps the last holder, so it is read only while the lock is held.
    """
    if not running(settings):
        return None
    with suppress(OSError):
        return _read(file(settings).read_bytes()[:_LONGEST])
    return None


def take(settings: Settings, command: str) -> int:
    """Take the lock for this process.

    Args:
        settings: of the home.
        command: the command that starts the stack.
    Returns:
        Descriptor of the lock file; the lock is held as long as it is open.
    Raises:
        StackRunning: another process holds the lock.
        SettingsError: the home cannot be created.
    """
    settings.make_home()
    handle = os.open(file(settings), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + LOCK_S
    while not try_lock(handle):
        if time.monotonic() < end:
            time.sleep(RETRY_S)
            continue
        found = _read(os.pread(handle, _LONGEST, 0))
        os.close(handle)
        by = f" (process {found.pid})" if found else ""
        raise StackRunning(
            f"a stack already runs in {settings.home}{by}. Use it: fornada submit SPEC. "
            "Stop it: fornada down. For a second one, set another FORNADA_HOME."
        )
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(Holder(os.getpid(), command))).encode(), 0)
    except OSError:
        # The disk is full. Without its holder, `fornada down` could not find the stack.
        os.close(handle)
        raise
    return handle


def _read(text: bytes) -> Holder | None:
    try:
        fields = json.loads(text)
        return Holder(int(fields["pid"]), str(fields.get("command", "up")))
    except (ValueError, TypeError, KeyError):
        return None
