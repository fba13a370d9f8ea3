"""How people name jobs: 12, the beginning of a uid, @last, 12-20."""

import re
from collections.abc import Iterable

from sqlalchemy import Connection, select

from fornada.db.errors import AmbiguousReference, BadReference, JobNotFound
from fornada.db.store.session import Database
from fornada.db.store.tables import Job

LAST = "@last"
# Ids are written without leading zeros; uids of this century begin with one.
_ID = re.compile(r"[1-9][0-9]{0,17}")
_RANGE = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})")
# A uid has eight digits before its first dash.
_UID_BEGINS = re.compile(r"[0-9a-f]{8}-")
_UID_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
# Sorts after every character of a uid.
_AFTER_HEX = "g"
# How many jobs an ambiguous prefix names in its error.
_CANDIDATES = 4


def find(database: Database, reference: str) -> int:
    """The id of the one job that a reference names.

    Args:
        reference: an id, the first four or more characters of a uid, or `@last`.
    Raises:
        BadReference: it is a range.
        JobNotFound: it names none.
        AmbiguousReference: it is the beginning of several uids.
    """
    refuse_range(reference)
    with database.read() as connection:
        return _find(connection, reference)


def resolve(database: Database, references: Iterable[str]) -> list[int]:
    """The ids that references name, in their order, each once.

    Args:
        references: as `find` takes them, and ranges: `12-20` is every job there is from 12 to
            20, both included.
    Raises:
        BadReference: one is a range that does not go up, or a list by commas.
        JobNotFound: one names none.
        AmbiguousReference: one is the beginning of several uids.
    """
    references = list(references)
    for reference in references:
        refuse_malformed(reference)
    found: dict[int, None] = {}
    with database.read() as connection:
        for reference in references:
            ends = _RANGE.fullmatch(reference)
            if ends:
                found |= dict.fromkeys(_between(connection, reference, *map(int, ends.groups())))
            else:
                found[_find(connection, reference)] = None
    return list(found)


def refuse_malformed(reference: str) -> None:
    """Refuse a range that runs backwards, lacks an end, or is not of ids; and a list by commas.

    Args:
        reference: of one job or several, as a person wrote it.
    Raises:
        BadReference: it is such a range or list.
    """
    text = reference.strip().lower()
    found = _RANGE.fullmatch(text)
    if found:
        first, last = map(int, found.groups())
        if first > last:
            raise BadReference(
                f'"{reference}" names no jobs: the range runs backwards. Write {last}-{first}.'
            )
    elif "," in text:
        apart = " ".join(part.strip() for part in reference.split(","))
        raise BadReference(f'"{reference}" names no job: set jobs apart by spaces, "{apart}".')
    elif "-" in text and not _UID_BEGINS.match(text):
        raise BadReference(
            f'"{reference}" names no jobs: a range is written with the ids of its first and its '
            "last job, for example 4-20."
        )


def refuse_range(reference: str) -> None:
    """Refuse any range, where one job is meant.

    Args:
        reference: as a person wrote it.
    Raises:
        BadReference: it is a range, good or bad.
    """
    refuse_malformed(reference)
    if _RANGE.fullmatch(reference.strip()):
        first = reference.strip().partition("-")[0]
        raise BadReference(
            f'"{reference}" names several jobs, and one is expected here, for example {first}.'
        )


def _find(connection: Connection, reference: str) -> int:
    text = reference.strip().lower()
    if text == LAST:
        wanted = select(Job.id).order_by(Job.id.desc()).limit(1)
    elif _ID.fullmatch(text):
        wanted = select(Job.id).where(Job.id == int(text))
    elif _UID_PREFIX.fullmatch(text):
        return _by_uid(connection, text)
    else:
        raise JobNotFound(reference)
    job_id = connection.scalar(wanted)
    if job_id is None:
        raise JobNotFound(reference)
    return job_id


def _by_uid(connection: Connection, prefix: str) -> int:
    wanted = (
        select(Job.id, Job.uid)
        .where(Job.uid >= prefix, Job.uid < prefix + _AFTER_HEX)
        .order_by(Job.uid)
        .limit(_CANDIDATES)
    )
    jobs = connection.execute(wanted).all()
    if not jobs:
        raise JobNotFound(prefix)
    if len(jobs) > 1:
        raise AmbiguousReference(prefix, [f"{job.id} ({job.uid})" for job in jobs])
    job_id: int = jobs[0].id
    return job_id


def _between(connection: Connection, reference: str, first: int, last: int) -> list[int]:
    wanted = select(Job.id).where(Job.id.between(first, last)).order_by(Job.id)
    ids = list(connection.scalars(wanted))
    if not ids:
        raise JobNotFound(reference)
    return ids
