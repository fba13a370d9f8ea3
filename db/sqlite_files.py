"""The files of an SQLite database: whether this process may use them, and how to open them to read.

Imports only the standard library.
"""

import os
from contextlib import suppress
from pathlib import Path

# The bytes of a `-shm` file that a writer or a checkpoint locks:
# https://www.sqlite.org/walformat.html#wal_locks
_WRITER_BYTES = frozenset({"120", "121", "122"})


def read_only_uri(file: Path) -> str:
    """The file as a URI with which SQLite opens it to be read.

    A reader of a database with a write-ahead log writes, too: into an index of the log beside the
    database. Without a log nobody writes, and `immutable` tells SQLite to need no index.
    """
    log = file.with_name(f"{file.name}-wal")
    with suppress(OSError):
        if _has_log_mode(file) and not (log.exists() and log.stat().st_size):
            return f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    return f"{file.absolute().as_uri()}?mode=ro"


def _has_log_mode(file: Path) -> bool:
    """Whether the header of a database says that it has a write-ahead log."""
    with file.open("rb") as stream:
        # Bytes 18 and 19 are the versions of the format for writing and for reading; 2 means a
        # write-ahead log: https://www.sqlite.org/fileformat.html
        return stream.read(20)[18:20] == b"\x02\x02"


def may_write(file: Path) -> bool:
    """Whether this process may write the file, and make a journal or use one that is there."""
    journals = (file.with_name(f"{file.name}-{kind}") for kind in ("journal", "wal"))
    return os.access(file, os.W_OK) and (
        os.access(file.parent, os.W_OK) or any(os.access(each, os.W_OK) for each in journals)
    )


def is_hidden(file: Path) -> bool:
    """Whether this process may not read the file, or not even see it."""
    try:
        file.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(file, os.R_OK)


def processes_that_lock(file: Path) -> list[int]:
    """The other processes of this host that hold a lock which stops writers, as Linux lists them.

    A process that opens and closes a file loses its locks on it, so this does not open the file.
    Empty where Linux lists no locks.
    """
    shared_memory = file.with_name(f"{file.name}-shm")
    has_log = shared_memory.exists()
    try:
        found = (shared_memory if has_log else file).stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    pids = set()
    for line in lines:
        # "1: POSIX ADVISORY WRITE 217 fe:00:9164 120 120"; a lock that somebody waits for has "->".
        _, kind, *_, what, pid, where, first, _ = line.split()
        # Beside a log, a connection that does nothing has a lock, too, and readers stop nobody.
        stops = not has_log or (what == "WRITE" and first in _WRITER_BYTES)
        if where == place and kind != "->" and stops:
            pids.add(int(pid))
    return sorted(pids - {os.getpid()})
