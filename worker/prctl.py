"""Settings that a process makes for itself with `prctl`; Linux only.

The numbers are those of `linux/prctl.h`. `fornada.worker.trainer.process.confine` makes those of
the trainer.
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

    A process that holds credentials calls this before it reads them. `exec` undoes it.
    """
    _prctl(PR_SET_DUMPABLE, 0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Args:
        parent: expected process id of the parent. If the parent has already ended, this process
            ends now.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that started this one has ended")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so as to be able to wait for them."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def leave_orphans() -> None:
    """Undo `adopt_orphans`: a process further up adopts such descendants."""
    _prctl(PR_SET_CHILD_SUBREAPER, 0)


def name(name: str) -> None:
    """Set the name that `ps` and `top` show for this process; at most 15 bytes."""
    _prctl(PR_SET_NAME, name.encode())


def _prctl(option: int, value: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value!r}): {os.strerror(number)}")
