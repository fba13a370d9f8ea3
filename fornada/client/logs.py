"""Reading a job's training log, from any host.

The log of an attempt is one sequence of bytes. Where its folder is mounted here, the file is
read; elsewhere the pieces that its worker puts into the database, up to a cap. A place in one
is the same place in the other, so that a reader may change from one to the other at any byte.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fornada import artifacts
from fornada.client.connection import Connection
from fornada.db.queue.logs import log_chunks, log_places
from fornada.db.reads import documents, history
from fornada.db.records import LogPlace
from fornada.db.states import FINAL_STATES, AttemptOutcome
from fornada.errors import LogElsewhere, NotStarted
from fornada.patience import Patience, Tell, say_nothing

# The name of the log in an attempt's folder.
LOG = "train.log"
# Seconds between two looks at a log that is followed.
LOOK_S = 0.2
# Bytes of a log read at once.
CHUNK = 65536


@dataclass(frozen=True)
class Piece:
    """Some bytes of a log, in their order.

    Args:
        attempt: whose log.
        host: where that attempt runs or ran.
        data: the bytes; empty where only a gap is told.
        missing: bytes before these that only `file` on that host has, since the database keeps
            so many of an attempt and no more; None: some, if any, and how many is not known.
        file: the whole log, on that host.
    """

    attempt: int
    host: str
    data: bytes
    missing: int | None = 0
    file: Path = field(default_factory=Path)


def pieces(  # noqa: PLR0913 - the arguments of two methods
    connection: Connection,
    job_id: int,
    *,
    attempt: int | None = None,
    follow: bool = False,
    tell: Tell = say_nothing,
    look_s: float = LOOK_S,
) -> Iterator[Piece]:
    """A job's log; see `Client.log` and `Client.follow_log`.

    Args:
        connection: to the record.
        job_id: of the job.
        attempt: only this one; None for all.
        follow: go on until the job, or the attempt, has ended.
        tell: hears, once each, that the database is away and that it is back.
        look_s: pause between two looks.
    Raises:
        NotStarted: no such attempt has begun to write one.
        LogElsewhere: all of it lies on a worker's host whose artifacts are not mounted here.
    """
    ask = Patience(tell)
    readers: dict[int, _Reader] = {}
    while True:
        # The end first: what is read after it is all there is.
        final = ask(lambda: history.state(connection.database, job_id) in FINAL_STATES)
        for place in ask(lambda: _places(connection, job_id, attempt)):
            reader = readers.setdefault(place.attempt, _Reader(connection, job_id, place))
            yield from reader.rest(ask, ended=place.ended or final)
        done = final or (attempt is not None and readers and readers[attempt].ended)
        if done or not follow:
            break
        time.sleep(look_s)
    if not readers:
        raise _not_started(connection, job_id, attempt)
    if not any(reader.found for reader in readers.values()):
        last = next(reversed(readers.values()))
        raise last.elsewhere() if last.ended else _not_started(connection, job_id, attempt)


def _places(connection: Connection, job_id: int, attempt: int | None) -> list[LogPlace]:
    places: list[LogPlace] = log_places(connection.database, job_id)
    return [one for one in places if attempt in (None, one.attempt)]


def _not_started(connection: Connection, job_id: int, attempt: int | None) -> NotStarted:
    state = history.state(connection.database, job_id)
    which = "log" if attempt is None else f"attempt {attempt}"
    when = f"began no {which}" if state in FINAL_STATES else f"has no {which} yet"
    return NotStarted(f"job {job_id} is {state} and {when}")


class _Reader:
    """Reads the log of one attempt, from where it stopped the last time."""

    def __init__(self, connection: Connection, job_id: int, place: LogPlace) -> None:
        self._connection = connection
        self._job_id = job_id
        self._place = place
        self.file = artifacts.path(connection.settings, place.folder) / LOG
        # Whether there was anything to read, an empty file too.
        self.found = False
        # Whether all was read that will ever come.
        self.ended = False
        self._at = 0
        self._chunk = 0
        # Whether the worker has said that it ships no more, though there is more.
        self._cut_off = False

    def rest(self, ask: Patience, *, ended: bool) -> Iterator[Piece]:
        """What has come since.

        Args:
            ask: reaches the database.
            ended: the attempt had ended before this call.
        """
        if self.ended:
            return
        if self.file.exists():
            yield from self._from_file()
        else:
            yield from self._from_database(ask)
            if ended:
                yield from self._cut(ask)
        self.ended = ended

    def elsewhere(self) -> LogElsewhere:
        """Why there is nothing to read here."""
        place = self._place
        if self.file.parent.exists():
            return LogElsewhere(
                f"job {self._job_id} has no log at {self.file} (any more), and no copy of it is in "
                "the database"
            )
        return LogElsewhere(
            f"the log of job {self._job_id} lies on host {place.host}, at {self.file} there, and "
            "no copy of it is in the database"
        )

    def _from_file(self) -> Iterator[Piece]:
        self.found = True
        with self.file.open("rb") as log:
            log.seek(self._at)
            while data := log.read(CHUNK):
                self._at += len(data)
                yield self._piece(data)

    def _from_database(self, ask: Patience) -> Iterator[Piece]:
        # One at a time: the next is asked for when this one was written, and not before.
        while chunks := ask(self._chunks):
            for chunk in chunks:
                self.found = True
                self._chunk = chunk.number
                self._cut_off = not chunk.data
                missing = max(0, chunk.start - self._at)
                data = chunk.data[max(0, self._at - chunk.start) :]
                self._at = max(self._at, chunk.start + len(chunk.data))
                if data or missing:
                    yield self._piece(data, missing)

    def _cut(self, ask: Patience) -> Iterator[Piece]:
        """What the database lacks of the end, as far as the record tells."""
        whole, lost = ask(self._end)
        if whole is not None and whole > self._at:
            yield self._piece(b"", whole - self._at)
        elif self.file.parent.exists():
            # Mounted here: an attempt that has no file, on record either, has no log.
            return
        elif self._cut_off or not self.found or (lost and whole is None):
            yield self._piece(b"", None)

    def _chunks(self) -> list[Any]:
        return list(
            log_chunks(self._connection.database, self._job_id, self._place.attempt, self._chunk)
        )

    def _end(self) -> tuple[int | None, bool]:
        """How long the whole log is, if that is recorded, and whether its worker died over it."""
        job: Mapping[str, Any] = documents.job(self._connection.database, self._job_id)
        number = self._place.attempt
        mine = [one for one in job["artifacts"] if one["attempt"] == number]
        sizes = [int(one["bytes"]) for one in mine if one["uri"].endswith(f"/{LOG}")]
        outcomes = [one["outcome"] for one in job["executions"] if one["attempt"] == number]
        return next(iter(sizes), None), AttemptOutcome.LOST in outcomes

    def _piece(self, data: bytes, missing: int | None = 0) -> Piece:
        return Piece(self._place.attempt, self._place.host, data, missing, self.file)
