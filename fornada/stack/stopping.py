"""Stops the embedded stack of a home from another process.

A process id alone names the wrong process as soon as the holder of the lock has ended and another
process has its id. So the process is held by a descriptor (`pidfd_open`), and it must have the lock
file open.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fornada.db.accounts import ownership
from fornada.errors import StackError
from fornada.settings import Settings
from fornada.stack import stack_lock
from fornada.stack.stack_lock import Holder

# Seconds for a process that has just taken the lock to write itself into the lock file.
WRITTEN_S = 2.0
RETRY_S = 0.02


@dataclass(frozen=True)
class RunningStack:
    """The process that runs the stack of a home."""

    holder: Holder
    # Descriptor of the process. It never names another process.
    descriptor: int

    def ask_to_stop(self) -> None:
        """Send SIGTERM: the stack drains. A second one changes nothing.

        Raises:
            StackError: the process belongs to another user.
        """
        try:
            # ProcessLookupError: it has ended meanwhile, as it was asked to.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, signal.SIGTERM)
        except PermissionError as exc:
            raise StackError(_another_user(self.holder.pid)) from exc

    def ended_within(self, timeout_s: float | None) -> bool:
        """Wait until the process has ended. Its worker and its Redis have ended before.

        Args:
            timeout_s: longest wait in seconds; None waits as long as it takes.
        """
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


@contextmanager
def running_stack(settings: Settings) -> Iterator[RunningStack | None]:
    """The process that runs the embedded stack of this home; None if there is none.

    Raises:
        StackError: a process holds the lock, but nobody can tell which one.
    """
    end = time.monotonic() + WRITTEN_S
    while (holder := stack_lock.holder(settings)) or stack_lock.running(settings):
        found = None if holder is None else _hold(settings, holder)
        if found is not None:
            with closing(os.fdopen(found.descriptor, "rb", buffering=0)):
                yield found
            return
        if time.monotonic() > end:
            raise StackError(
                f"a stack runs in {settings.home}, but its process cannot be found; "
                "it may belong to another container"
            )
        time.sleep(RETRY_S)
    yield None


def _hold(settings: Settings, holder: Holder) -> RunningStack | None:
    """Hold the process, if it is the one that has the lock."""
    try:
        descriptor = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return None
    found = RunningStack(holder, descriptor)
    # It still runs, so what was just read of its id was read of this process.
    if _has_open(holder.pid, stack_lock.file(settings)) and not found.ended_within(0):
        return found
    os.close(descriptor)
    return None


def _has_open(pid: int, file: Path) -> bool:
    """Whether a process has a file open.

    Raises:
        StackError: the process belongs to another user.
    """
    wanted = file.stat()
    try:
        # The folder and its links may be readable by different accounts.
        for link in list(Path(f"/proc/{pid}/fd").iterdir()):
            with suppress(FileNotFoundError):
                if os.path.samestat(link.stat(), wanted):
                    return True
    except FileNotFoundError:
        return False
    except PermissionError as exc:
        raise StackError(_another_user(pid)) from exc
    return False


def _another_user(pid: int) -> str:
    return (
        f"the stack of this home is process {pid}, and another account started it. "
        f"{ownership(Path(f'/proc/{pid}'))} Only the account that started the stack can stop it."
    )
