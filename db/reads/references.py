"""References: how people name jobs. A reference is 12, the beginning of a uid, @last, or 12-20."""

import re
from collections.abc import Iterable

from sqlalchemy import Connection, select

from fornada.db.errors import AmbiguousReference, BadReference, JobNotFound, by_name_hint
from fornada.db.store.session import Database
from fornada.db.store.tables import Job

LAST = "@last"
# An id has no leading zero. A uid of this century begins with 0, so the two cannot be confused.
_ID = re.compile(r"[1-9][0-9]{0,17}")
_RANGE = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})")
# A uid has eight digits before its first dash.
_UID_BEGINS = re.compile(r"[0-9a-f]{8}-")
_UID_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
# A character that sorts after every character of a uid.
_AFTER_HEX = "g"
# How many jobs the error about an ambiguous reference lists.
_CANDIDATES = 4


def find(database: Database, reference: str) -> int:
    """The id of the one job that a reference names.

    Args:
        database: where the job is.
        reference: an id, the first four or more characters of a uid, or `@last`.
    Raises:
        BadReference: the reference is a range, or a list with commas.
        JobNotFound: the reference names no job.
        AmbiguousReference: several uids begin with the reference.
    """
    refuse_range(reference)
    with database.read() as connection:
        return _find(connection, reference)


def resolve(database: Database, references: Iterable[str]) -> list[int]:
    """The ids of the jobs that references name, in order, each id once.

    Args:
        database: where the jobs are.
        references: references as for `find`, or ranges: `12-20` names every existing job from 12 to
            20, with 12 and 20.
    Raises:
        BadReference: a reference is a malformed range, or a list with commas.
        JobNotFound: a reference names no job.
        AmbiguousReference: several uids begin with a reference.
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
    """Refuse a reference that can never name a job.

    Args:
        reference: what a person wrote to name one job or several.
    Raises:
        BadReference: it is a range that runs backwards, lacks an end, or has something else than
            ids; or it is a list with commas.
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
        spaced = " ".join(part.strip() for part in reference.split(","))
        raise BadReference(
            f'"{reference}" names no job: write spaces between jobs and no commas, "{spaced}".'
        )
    elif "-" in text and not _UID_BEGINS.match(text):
        if hint := by_name_hint(reference):
            raise BadReference(
                f'"{reference}" names no job: write its id or uid. {hint}\n'
                "  A range has the ids of its first and its last job, for example 4-20."
            )
        raise BadReference(
            f'"{reference}" names no jobs: write a range with the ids of its first and its '
            "last job, for example 4-20."
        )


def refuse_range(reference: str) -> None:
    """Refuse a range where one job is expected.

    Args:
        reference: what a person wrote to name one job.
    Raises:
        BadReference: it is a range, well-formed or not, or a list with commas.
    """
    refuse_malformed(reference)
    if _RANGE.fullmatch(reference.strip()):
        first = reference.strip().partition("-")[0]
        raise BadReference(
            f'"{reference}" names several jobs, but one is expected here, for example {first}.'
        )


def _find(connection: Connection, reference: str) -> int:
    text = reference.strip().lower()
    if text == LAST:
        wanted = select(Job.c.id).order_by(Job.c.id.desc()).limit(1)
    elif _ID.fullmatch(text):
        wanted = select(Job.c.id).where(Job.c.id == int(text))
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
        select(Job.c.id, Job.c.uid)
        .where(Job.c.uid >= prefix, Job.c.uid < prefix + _AFTER_HEX)
        .order_by(Job.c.uid)
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
    wanted = select(Job.c.id).where(Job.c.id.between(first, last)).order_by(Job.c.id)
    ids = list(connection.scalars(wanted))
    if not ids:
        raise JobNotFound(reference)
    return ids
