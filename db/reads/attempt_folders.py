"""Where attempts wrote their files: on which host, and in which artifact folder."""

from collections.abc import Collection, Iterable

from sqlalchemy import select

from fornada.db.queue.logs import FOLDER
from fornada.db.store.session import Database
from fornada.db.store.tables import Attempt, Job

# How many attempts of a host to list. A client that sees one of their folders sees the folder in
# which the host writes its artifacts.
LATEST = 20


def hosts(database: Database, job_ids: Iterable[int]) -> dict[int, str]:
    """The host of each job's last attempt, without the jobs that have no attempt."""
    wanted = select(Attempt.c.job_id, Attempt.c.host).where(Attempt.c.job_id.in_(list(job_ids)))
    with database.read() as connection:
        rows = connection.execute(wanted.order_by(Attempt.c.job_id, Attempt.c.number)).all()
    return {row.job_id: row.host for row in rows}


def folders_of(database: Database, host: str) -> list[str]:
    """URIs of the folders of the last `LATEST` attempts that ended on a host, newest first."""
    ended = (Attempt.c.host == host, Attempt.c.ended_at.is_not(None))
    wanted = (
        select(Job.c.uid, Attempt.c.number).join(Job, Job.c.id == Attempt.c.job_id).where(*ended)
    )
    latest = wanted.order_by(Attempt.c.job_id.desc(), Attempt.c.number.desc()).limit(LATEST)
    with database.read() as connection:
        rows = connection.execute(latest).all()
    return [FOLDER.format(uid=row.uid, attempt=row.number) for row in rows]


def any_begun(database: Database) -> bool:
    """Whether a trainer has ever begun an attempt, so that the attempt has a folder somewhere."""
    begun = select(Attempt.c.number).where(Attempt.c.started_at.is_not(None)).limit(1)
    with database.read() as connection:
        return connection.execute(begun).one_or_none() is not None


def any_begun_of(database: Database, uids: Collection[str]) -> bool:
    """Whether a trainer has begun an attempt at one of the jobs that have these uids."""
    begun = (
        select(Attempt.c.number)
        .join(Job, Job.c.id == Attempt.c.job_id)
        .where(Job.c.uid.in_(list(uids)), Attempt.c.started_at.is_not(None))
    )
    with database.read() as connection:
        return connection.execute(begun.limit(1)).one_or_none() is not None
