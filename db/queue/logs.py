"""A running job's log for readers on other hosts: pieces of it, until it is a file they can get."""

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select

from fornada.db.clock import later, now
from fornada.db.errors import JobNotFound
from fornada.db.queue.fences import share_job
from fornada.db.records import Fence, LogChunkRow, LogPlace
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job
from fornada.db.store.tables import LogChunk as Chunk
from fornada.db.store.upsert import insert_new

# What the log and all other files of an attempt lie under: see `fornada.artifacts`.
FOLDER = "artifacts:{uid}/attempt-{attempt}"
# Of a log, for who asks why an attempt failed.
LAST_LINES = 20
LAST_BYTES = 2**14
# A chunk may be a line alone, where one trains slowly.
LAST_CHUNKS = 20


def record_log(database: Database, fence: Fence, chunk: LogChunkRow) -> None:
    """Record a piece of an attempt's log; the same one again changes nothing.

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
    """Where the logs of a job's attempts lie, in the order of the attempts.

    Raises:
        JobNotFound: no job has this id.
    """
    with database.read() as connection:
        uid = connection.scalar(select(Job.uid).where(Job.id == job_id))
        if uid is None:
            raise JobNotFound(job_id)
        wanted = select(Attempt.number, Attempt.host, Attempt.ended_at)
        ordered = wanted.where(Attempt.job_id == job_id).order_by(Attempt.number)
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
    """The pieces of an attempt's log that are there, in order.

    Args:
        after_number: only those with a greater number.
    """
    wanted = select(Chunk.number, Chunk.start, Chunk.data).where(
        Chunk.job_id == job_id, Chunk.attempt == attempt, Chunk.number > after_number
    )
    with database.read() as connection:
        rows = connection.execute(wanted.order_by(Chunk.number)).all()
    return [LogChunkRow(row.number, row.start, bytes(row.data)) for row in rows]


def last_lines(connection: Connection, fence: Fence) -> list[str]:
    """The last lines of an attempt's log that came here; none when none did."""
    of_attempt = [Chunk.job_id == fence.job_id, Chunk.attempt == fence.attempt]
    newest = select(Chunk.data).where(*of_attempt).order_by(Chunk.number.desc()).limit(LAST_CHUNKS)
    data = b"".join(bytes(one) for one in reversed(connection.scalars(newest).all()))
    return lines_of(data[-LAST_BYTES:])


def lines_of(data: bytes) -> list[str]:
    """The last lines of a piece of a log, without empty ones."""
    lines = data.decode(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-LAST_LINES:]


def forget_logs(database: Database, older_than_s: float) -> int:
    """Delete the pieces of attempts that ended longer ago than this: their logs are files now.

    Returns:
        How many pieces.
    """
    with database.begin() as connection:
        return connection.execute(delete(Chunk).where(forgettable(older_than_s))).rowcount


def forgettable(older_than_s: float) -> ColumnElement[bool]:
    """Whether a piece is of an attempt that ended longer ago than this."""
    of_attempt = [Attempt.job_id == Chunk.job_id, Attempt.number == Chunk.attempt]
    since = later(now(), -older_than_s)
    still = exists().where(*of_attempt, or_(Attempt.ended_at.is_(None), Attempt.ended_at >= since))
    # It is older than the end of its attempt: few are, and they are found by index.
    return and_(Chunk.at < since, ~still)
