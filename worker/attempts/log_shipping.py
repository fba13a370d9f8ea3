"""Carries an attempt's log into the record while it grows, for readers on other hosts."""

import logging
from pathlib import Path

from fornada.db.queue import logs
from fornada.db.records import Fence, LogChunkRow
from fornada.db.store.session import Database

log = logging.getLogger("fornada.worker")

CHUNK_BYTES = 64 * 1024
# Of an attempt. What a training says is some kilobytes; whoever prints more has the file.
MOST_BYTES = 4 * 2**20


class LogShipper:
    """Ships one log, byte for byte; where it is cut off, a chunk without bytes says so.

    Args:
        database: where the job is.
        fence: the attempt that writes the log.
        file: it may not be there yet.
    """

    def __init__(self, database: Database, fence: Fence, file: Path) -> None:
        self._database = database
        self._fence = fence
        self._file = file
        self._number = 1
        self._start = 0
        self._over = False
        self._unreadable = False
        # Of which nobody knows whether it was recorded: it is sent again as it was, though the
        # log has grown.
        self._unconfirmed: LogChunkRow | None = None

    def ship(self) -> None:
        """Record all that the log has gained.

        Raises:
            Fenced: the attempt no longer holds the job.
            DatabaseUnreachable: it does not answer; the same again changes nothing.
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
            # Who trains needs no reader; the file may be readable again.
            if not self._unreadable:
                log.warning("job %d/%d: its log: %s", self._fence.job_id, self._fence.attempt, exc)
            self._unreadable = True
            return None
        if not data:
            return None
        return LogChunkRow(self._number, self._start, data[: MOST_BYTES - self._start])
