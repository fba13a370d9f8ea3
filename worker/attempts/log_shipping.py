"""Copies an attempt's log into the database while it grows, for readers on other hosts."""

import logging
from pathlib import Path

from fornada.db.queue import logs
from fornada.db.records import Fence, LogChunkRow
from fornada.db.store.session import Database

log = logging.getLogger("fornada.worker")

CHUNK_BYTES = 64 * 1024
# Most bytes of one attempt's log in the database. A usual log has some kilobytes. The file always
# has the whole log.
MOST_BYTES = 4 * 2**20


class LogShipper:
    """Ships one log, byte for byte, up to `MOST_BYTES`.

    If the log is longer, the last chunk is empty. It tells readers that only the file has the rest.

    Args:
        database: where the job is.
        fence: the attempt that writes the log.
        file: the log, which may not exist yet.
    """

    def __init__(self, database: Database, fence: Fence, file: Path) -> None:
        self._database = database
        self._fence = fence
        self._file = file
        self._number = 1
        self._start = 0
        # Whether the empty chunk was recorded, so that no more chunks follow.
        self._over = False
        self._unreadable = False
        # A chunk that may or may not have been recorded. It is sent again unchanged, although the
        # log has grown since.
        self._unconfirmed: LogChunkRow | None = None

    def ship(self) -> None:
        """Record everything that was added to the log.

        Raises:
            Fenced: the attempt no longer holds the job.
            DatabaseUnreachable: the database does not answer; calling again is safe.
        """
        while chunk := self._unconfirmed or self._next():
            self._unconfirmed = chunk
            logs.record_log(self._database, self._fence, chunk)
            self._unconfirmed = None
            self._number += 1
            self._start += len(chunk.data)
            self._over = not chunk.data

    def _next(self) -> LogChunkRow | None:
        if self._over:
            return None
        try:
            with self._file.open("rb") as file:
                file.seek(self._start)
                data = file.read(CHUNK_BYTES)
        except FileNotFoundError:
            return None
        except OSError as exc:
            # Training does not need the log to be read, and a later call may be able to read it.
            if not self._unreadable:
                name = (self._fence.job_id, self._fence.attempt)
                log.warning("job %d/%d: cannot read its log: %s", *name, exc)
            self._unreadable = True
            return None
        if not data:
            return None
        # After `MOST_BYTES` this cuts all bytes off, which makes the empty chunk.
        return LogChunkRow(self._number, self._start, data[: MOST_BYTES - self._start])
