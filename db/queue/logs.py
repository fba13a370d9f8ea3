"""Chunks of a running job's log, for readers on other hosts.

When the attempt has ended, its log is a file among the artifacts and the chunks are deleted later.
"""

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select

from fornada.db.clock import later, now
from fornada.db.errors import JobNotFound
from fornada.db.queue.fences import share_job
from fornada.db.records import Fence, LogChunkRow, LogPlace
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job
from fornada.db.store.tables import LogChunk as Chunk
from fornada.db.store.upsert import insert_new

# URI of the folder that holds the log and all other files of an attempt: see `fornada.artifacts`.
FOLDER = "artifacts:{uid}/attempt-{attempt}"
# The end of a log that is kept with a failure, in lines and in bytes.
LAST_LINES = 20
LAST_BYTES = 2**14
# Chunks to read for these lines. A chunk may hold only one line when the training is slow.
LAST_CHUNKS = 20


def record_log(database: Database, fence: Fence, chunk: LogChunkRow) -> None:
    """Record a chunk of an attempt's log. Recording the same chunk again changes nothing.

    Raises:
        Fenced: the attempt no longer holds the job.
    """
    row = {
        "job_id": fence.job_id,
        "attempt": fence.attempt,
        "number": chunk.number,
        "start": chunk.start,
        "data": chunk.data,
    }
    with database.begin() as connection:
        share_job(connection, fence)
        insert_new(connection, Chunk, row, at="at")


def log_places(database: Database, job_id: int) -> list[LogPlace]:
    """Where the logs of a job's attempts are stored, in the order of the attempts.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        uid = connection.scalar(select(Job.c.uid).where(Job.c.id == job_id))
        if uid is None:
            raise JobNotFound(job_id)
        wanted = select(Attempt.c.number, Attempt.c.host, Attempt.c.ended_at)
        ordered = wanted.where(Attempt.c.job_id == job_id).order_by(Attempt.c.number)
        attempts = connection.execute(ordered).all()
    return [
        LogPlace(
            attempt=row.number,
            host=row.host,
            folder=FOLDER.format(uid=uid, attempt=row.number),
            ended=row.ended_at is not None,
        )
        for row in attempts
    ]


def log_chunks(
    database: Database, job_id: int, attempt: int, after_number: int = 0
) -> list[LogChunkRow]:
    """The chunks of an attempt's log that are in the database, in order.

    Args:
        database: where the chunks are.
        job_id: the job.
        attempt: the number of the attempt.
        after_number: only chunks with a greater number.
    """
    wanted = select(Chunk.c.number, Chunk.c.start, Chunk.c.data).where(
        Chunk.c.job_id == job_id, Chunk.c.attempt == attempt, Chunk.c.number > after_number
    )
    with database.read() as connection:
        rows = connection.execute(wanted.order_by(Chunk.c.number)).all()
    return [LogChunkRow(row.number, row.start, bytes(row.data)) for row in rows]


def last_lines(connection: Connection, fence: Fence) -> list[str]:
    """The last lines of an attempt's log in the database; an empty list when it has no chunk."""
    of_attempt = [Chunk.c.job_id == fence.job_id, Chunk.c.attempt == fence.attempt]
    newest = (
        select(Chunk.c.data).where(*of_attempt).order_by(Chunk.c.number.desc()).limit(LAST_CHUNKS)
    )
    data = b"".join(bytes(chunk) for chunk in reversed(connection.scalars(newest).all()))
    return lines_of(data[-LAST_BYTES:])


def lines_of(data: bytes) -> list[str]:
    """The last `LAST_LINES` lines of a part of a log, without empty lines."""
    lines = data.decode(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-LAST_LINES:]


def forget_logs(database: Database, older_than_s: float) -> int:
    """Delete the chunks of attempts that ended more than so many seconds ago: their logs are files.

    Returns:
        How many chunks were deleted.
    """
    with database.begin() as connection:
        return connection.execute(delete(Chunk).where(forgettable(older_than_s))).rowcount


def forgettable(older_than_s: float) -> ColumnElement[bool]:
    """Whether a chunk belongs to an attempt that ended more than so many seconds ago."""
    of_attempt = [Attempt.c.job_id == Chunk.c.job_id, Attempt.c.number == Chunk.c.attempt]
    limit = later(now(), -older_than_s)
    still_needed = or_(Attempt.c.ended_at.is_(None), Attempt.c.ended_at >= limit)
    # Every chunk is older than the end of its attempt. So the condition on `at` excludes no
    # chunk wrongly, and the index on it finds the few old chunks fast.
    return and_(Chunk.c.at < limit, ~exists().where(*of_attempt, still_needed))
