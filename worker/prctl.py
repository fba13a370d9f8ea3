"""What a process asks of the kernel about itself; Linux only.

The numbers are those of `linux/prctl.h`. `fornada.worker.trainer.process.confine` does the
trainer's part.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36


def hide() -> None:
    """Close `/proc/<pid>/environ`, `mem` and `fd` to every process without CAP_SYS_PTRACE.

    What holds credentials calls this before it reads them; it does not survive an exec.
    """
    _prctl(PR_SET_DUMPABLE, 0)


def die_with(parent: int) -> None:
    """Be killed when the thread that started this process ends.

    Args:
        parent: process id expected; when it has ended already, this process ends now.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so as to see them end."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def leave_orphans() -> None:
    """Leave such descendants to whoever adopts them further up."""
    _prctl(PR_SET_CHILD_SUBREAPER, 0)


def name(name: str) -> None:
    """Have `ps` and `top` show this process by a name of at most 15 bytes."""
    _prctl(PR_SET_NAME, name.encode())


def _prctl(option: int, value: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value!r}): {os.strerror(number)}")
