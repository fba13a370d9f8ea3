"""Locks on files. A descriptor holds the lock, and so does each process that inherits it.

The `filelock` package does not serve here: a trainer inherits the lock of its slot, and the readers
of a pack share one lock.
"""

import fcntl


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file, without waiting.

    Args:
        descriptor: of the file. The lock lasts until every copy of this descriptor is closed.
        shared: whether others may have a shared lock at the same time.
    Returns:
        False if another process holds a lock that excludes this one.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
