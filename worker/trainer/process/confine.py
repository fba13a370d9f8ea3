"""Takes rights from the trainer process and limits what it may use; Linux only, through libc.

The kernel kills the trainer when its parent thread ends. The trainer gains no privileges, holds no
capabilities and leaves no core file. Even as root, a process without capabilities cannot read the
environment of its supervisor, which holds the credentials.
"""

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fornada.settings import Settings

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
# Highest value of `oom_score_adj`: see proc(5).
_KILL_FIRST = "1000"
# linux/capability.h: version 3 has two words of 32 bits for each set.
_CAPABILITY_VERSION_3 = 0x20080522
# The bounding set is dropped by number; the kernel refuses the first one it does not know.
_MOST_CAPABILITIES = 64


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def confine() -> None:
    """Give up the rights that a trainer does not need.

    Raises:
        OSError: the kernel refused.
        SystemExit: the parent ended before this function could take effect.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    _call(libc.prctl, _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # The kernel sends no signal for a parent that ended before the call above. Then this process
    # already has another parent, or, if it ended even before `getppid`, its standard input ends.
    if os.getppid() != parent:
        raise SystemExit(1)
    _call(libc.prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # When the host has no memory left, the kernel kills a trainer first, and not the database, the
    # worker or a person's session. The job is then tried again, from its last state.
    Path("/proc/self/oom_score_adj").write_text(_KILL_FIRST)


def limit(settings: "Settings") -> None:
    """Limit what the trainer may use. Call it after Keras is imported, before data are read.

    A lower limit that the host has set stays.

    Args:
        settings: the limits.
    """
    _lower(resource.RLIMIT_FSIZE, settings.max_file_bytes)
    # The kernel counts all processes of the account, so all trainers together have this limit.
    _lower(resource.RLIMIT_NPROC, settings.max_processes)
    # CUDA reserves more addresses than any host has memory.
    if settings.max_memory_bytes is not None and not _has_gpu():
        _lower(resource.RLIMIT_DATA, settings.max_memory_bytes)


def _lower(limit: int, most: int) -> None:
    present = resource.getrlimit(limit)
    soft, hard = (most if each == resource.RLIM_INFINITY else min(each, most) for each in present)
    resource.setrlimit(limit, (soft, hard))


def _has_gpu() -> bool:
    # A slot without a GPU sets -1. A trainer that is run by hand may have no such variable.
    return Path("/dev/nvidiactl").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != "-1"


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    # First the bounding set, because dropping it needs a capability. A process without that
    # capability may keep the set: with no_new_privs, no program that it starts can gain from it.
    for number in range(_MOST_CAPABILITIES):
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    _call(libc.capset, ctypes.byref(header), ctypes.byref((_Sets * 2)()))


def _call(function: "ctypes._NamedFuncPointer", *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
