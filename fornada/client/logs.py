"""Read a job's training log from any host.

The log of an attempt is one sequence of bytes. If the folder of the attempt is mounted here, the
log is read from its file. Otherwise it is read from the database, into which the worker writes the
log in pieces, up to a limit. Byte N of the file is byte N in the database, so a reader may switch
from one to the other at any byte.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fornada import artifacts
from fornada.client import starting
from fornada.client.connection import Connection
from fornada.db.queue.logs import log_chunks, log_places
from fornada.db.reads import documents, history
from fornada.db.records import LogPlace
from fornada.db.states import FINAL_STATES, AttemptOutcome
from fornada.errors import LogElsewhere, NotStarted
from fornada.patience import Patience, Tell, say_nothing

# The name of the log in an attempt's folder.
LOG = "train.log"
# Seconds between two looks at a log with `follow`.
LOOK_S = 0.2
# Bytes that are read from a file at once.
CHUNK = 65536


@dataclass(frozen=True)
class Piece:
    """The next bytes of a log.

    Args:
        attempt: number of the attempt that wrote the log.
        host: the host on which that attempt runs or ran.
        data: the bytes; empty if this piece only reports missing bytes.
        missing: how many bytes before `data` are missing, because the database keeps only the
            first bytes of each log; `file` has them. None if bytes may be missing but their number
            is not known.
        file: path of the whole log on that host.
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
        connection: reaches the database.
        job_id: the job's id.
        attempt: number of the attempt; None for all attempts.
        follow: continue until the job, or the attempt, has ended.
        tell: called once when the database is down and once when it is back; with `follow` also
            when the job is lost.
        look_s: pause between two looks, in seconds.
    Raises:
        NotStarted: no such attempt has begun to write a log.
        LogElsewhere: nothing of the log can be read here: its file is on a worker's host or gone,
            and the database has no copy.
    """
    ask = Patience(tell)
    readers: dict[int, _Reader] = {}
    lost = False
    while True:
        # Read the state before the log: if the job has ended, the log read below is complete.
        final = ask(lambda: history.state(connection.database, job_id) in FINAL_STATES)
        for place in ask(lambda: _places(connection, job_id, attempt)):
            reader = readers.setdefault(place.attempt, _Reader(connection, job_id, place))
            yield from reader.rest(ask, ended=place.ended or final)
        if follow and not final:
            before, lost = lost, ask(lambda: connection.is_lost(job_id))
            if lost and not before:
                tell(_lost(connection, job_id))
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


def _lost(connection: Connection, job_id: int) -> str:
    start = starting.command(connection.settings, connection.document(job_id), None)
    hint = f"; start one: {start}" if start else ""
    return f"job {job_id} is lost, resumes when a worker starts{hint}"


def _not_started(connection: Connection, job_id: int, attempt: int | None) -> NotStarted:
    state = history.state(connection.database, job_id)
    which = "log" if attempt is None else f"attempt {attempt}"
    when = f"began no {which}" if state in FINAL_STATES else f"has no {which} yet"
    return NotStarted(f"job {job_id} is {state} and {when}")


class _Reader:
    """Reads the log of one attempt; each call continues where the last one stopped."""

    def __init__(self, connection: Connection, job_id: int, place: LogPlace) -> None:
        self._connection = connection
        self._job_id = job_id
        self._place = place
        self.file = artifacts.path(connection.settings, place.folder) / LOG
        # Whether a log was found, even an empty file.
        self.found = False
        # Whether the whole log was read, and the attempt writes no more.
        self.ended = False
        # Bytes read so far, and the number of the last chunk read from the database.
        self._at = 0
        self._chunk = 0
        # Whether the worker has stopped writing to the database although the log goes on.
        self._cut_off = False

    def rest(self, ask: Patience, *, ended: bool) -> Iterator[Piece]:
        """The bytes that were written since the last call.

        Args:
            ask: runs a query, and repeats it while the database is down.
            ended: whether the attempt had ended before this call.
        """
        if self.ended:
            return
        if self.file.exists():
            yield from self._from_file()
        else:
            yield from self._from_database(ask)
            if ended:
                yield from self._missing_end(ask)
        self.ended = ended

    def elsewhere(self) -> LogElsewhere:
        """The error that says why there is nothing to read here."""
        place = self._place
        if self.file.parent.exists():
            return LogElsewhere(
                f"job {self._job_id} has no log at {self.file} (any more), and the database has no "
                "copy of it"
            )
        return LogElsewhere(
            f"the log of job {self._job_id} is on host {place.host}, at {self.file} there, and the "
            "database has no copy of it"
        )

    def _from_file(self) -> Iterator[Piece]:
        self.found = True
        with self.file.open("rb") as log:
            log.seek(self._at)
            while data := log.read(CHUNK):
                self._at += len(data)
                yield self._piece(data)

    def _from_database(self, ask: Patience) -> Iterator[Piece]:
        # Ask again when the caller has taken these chunks: the worker may have written more.
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

    def _missing_end(self, ask: Patience) -> Iterator[Piece]:
        """A piece that reports how much of the log's end the database lacks, if any."""
        whole, lost = ask(self._end)
        if whole is not None and whole > self._at:
            yield self._piece(b"", whole - self._at)
        elif self.file.parent.exists():
            # The folder is mounted here and holds no log, and no size is recorded: the attempt
            # wrote no log.
            return
        elif self._cut_off or not self.found or (lost and whole is None):
            yield self._piece(b"", None)

    def _chunks(self) -> list[Any]:
        return list(
            log_chunks(self._connection.database, self._job_id, self._place.attempt, self._chunk)
        )

    def _end(self) -> tuple[int | None, bool]:
        """The recorded length of the whole log, or None; and whether the attempt was lost.

        A lost attempt may have written more than its worker could send to the database.
        """
        job: Mapping[str, Any] = documents.job(self._connection.database, self._job_id)
        number = self._place.attempt
        files = [file for file in job["artifacts"] if file["attempt"] == number]
        sizes = [int(file["bytes"]) for file in files if file["uri"].endswith(f"/{LOG}")]
        outcomes = [run["outcome"] for run in job["executions"] if run["attempt"] == number]
        return next(iter(sizes), None), AttemptOutcome.LOST in outcomes

    def _piece(self, data: bytes, missing: int | None = 0) -> Piece:
        return Piece(self._place.attempt, self._place.host, data, missing, self.file)
