"""The files of an SQLite database: whether this process may use them, and how to open them to read.

Imports only the standard library.
"""

import os
from contextlib import suppress
from pathlib import Path


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
