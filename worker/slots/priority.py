"""Has a trainer that starts behind a running job compute with what that leaves, and takes it back.

Linux knows two weights. A thread's niceness counts among those of its group; and where the kernel
groups by session, as it does on most hosts outside of containers, the session's own niceness says
what the group gets. A trainer is a session of its own, so on such a host its niceness alone says
nothing. See "The autogroup feature" in `man 7 sched`.
"""

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("fornada.worker")

# More than the worker's own.
NICE = 15
# The kernel changes ten sessions a second at most, for all accounts but root.
_AGAIN_S = 0.1


def lower(pid: int) -> None:
    """Let a process that leads a session go behind all others, as far as it can be taken back."""
    if can_raise():
        os.setpriority(os.PRIO_PROCESS, pid, _niceness(0) + NICE)
    _weigh_session(pid, NICE)


def restore(pid: int) -> None:
    """Give a process that was lowered this one's priority, in every thread."""
    _weigh_session(pid, 0)
    own = _niceness(0)
    # Linux keeps the priority of each thread apart, and a thread inherits that of its starter:
    # one that was started meanwhile may have the old one.
    while slow := [thread for thread in _threads(pid) if _niceness(thread) > own]:
        for thread in slow:
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, thread, own)


def can_raise() -> bool:
    """Whether this process may take a thread's low priority back; without privileges mostly not.

    A session's it may in any case.
    """
    answer = []

    def probe() -> None:
        # In a thread of its own, whose priority goes with it.
        before, own = _niceness(0), threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, before + 1)
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, own, before)
            answer.append(True)

    thread = threading.Thread(target=probe, name="probe")
    thread.start()
    thread.join()
    return bool(answer)


def _niceness(thread: int) -> int:
    """Of a thread, or of the one that calls for 0; 0 when it is gone."""
    with suppress(ProcessLookupError):
        return os.getpriority(os.PRIO_PROCESS, thread)
    return 0


def _weigh_session(pid: int, nice: int) -> None:
    file = Path(f"/proc/{pid}/autogroup")
    while True:
        try:
            file.write_text(str(nice))
        except BlockingIOError:
            time.sleep(_AGAIN_S)
        except OSError as exc:
            # Gone, or a kernel or a container without sessions of a weight.
            log.debug("trainer %d: its session keeps its weight: %s", pid, exc)
            return
        else:
            return


def _threads(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    return []
