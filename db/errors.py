"""The errors of the database functions, each with a stable code."""

import re
from collections.abc import Sequence
from shlex import quote

from fornada.db.file_problems import FileProblem
from fornada.db.records import LockHolder
from fornada.db.states import JobState
from fornada.db.tls import problem


class StoreError(Exception):
    """A call to the database failed. `code` is stable; the text is for people and may change."""

    code = "STORE"


class DatabaseUnreachable(StoreError):
    """The database did not answer, or did not answer in time.

    Attributes:
        where: the database's URL without passwords, safe to print and to log.
        reason: the driver's error message.
        file: what is wrong with the file of an SQLite database; None for another reason.
        tls: what is wrong with TLS; None for another reason.
        todo: what to do, in a sentence.
        in_doubt: whether the connection broke during a commit. The server may or may not have
            committed then; otherwise nothing was written.
    """

    code = "DATABASE_UNREACHABLE"

    def __init__(self, where: str, reason: str, file: FileProblem | None = None) -> None:
        self.tls = problem(reason)
        if file is not None:
            self.todo = file.todo
        elif self.tls is not None:
            self.todo = self.tls.todo(url="FORNADA_DATABASE_URL", authority="sslrootcert")
        else:
            self.todo = "Check that the database runs, and that FORNADA_DATABASE_URL names it."
        super().__init__(
            f"{file.sentence} {self.todo}"
            if file is not None
            else f"the database {where} does not answer: {reason}. {self.todo}"
        )
        self.where = where
        self.reason = reason
        self.file = file
        self.in_doubt = False


class LockTimeout(DatabaseUnreachable):
    """Another session held a lock for longer than a statement may wait for it."""


class NotPermitted(StoreError):
    """The database user does not have the right to run this statement."""

    code = "NOT_PERMITTED"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"the database {where} does not let this user do that: {reason}. "
            "deploy/postgres lists the rights of each role; run grants.sql after each upgrade."
        )
        self.where = where
        self.reason = reason


class SchemaMismatch(StoreError):
    """The database schema does not have the revision that this code needs."""

    code = "SCHEMA_MISMATCH"

    def __init__(self, found: str | None, needed: str, *, newer: bool = False) -> None:
        has = f"schema revision {found}" if found else "no schema yet"
        remedy = "Run `fornada db upgrade`."
        if newer:
            remedy = "It was upgraded by a newer Fornada: install that version here."
        elif found == needed:
            has += ", and its table fleet has no row"
            remedy = "Restore the row from a backup."
        super().__init__(f"the database has {has}, but this Fornada needs {needed}. {remedy}")
        self.found = found
        self.needed = needed


class SchemaBusy(StoreError):
    """Other sessions hold tables that an upgrade must lock. It has changed nothing.

    Attributes:
        holders: those that were seen last; empty if they ended before anybody looked.
    """

    code = "SCHEMA_BUSY"

    def __init__(self, waited_s: float, holders: Sequence[LockHolder]) -> None:
        who = "".join(f"\n  {holder.sentence}" for holder in holders)
        super().__init__(
            "the upgrade has changed nothing: it could not lock what it changes within "
            f"{waited_s:g} s. Locked by{who or ' a session that has just ended'}\n"
            "Wait until it has ended, or end it, and run `fornada db upgrade` again."
        )
        self.holders = tuple(holders)


_LIKE_A_UID = re.compile(r"[0-9a-f]{4,}[0-9a-f-]*")


def by_name_hint(reference: str) -> str | None:
    """How to find a job by its name; None for what is no name.

    >>> by_name_hint("my run")
    "Find it by its name: fornada ls --name 'my run'."
    >>> by_name_hint("01930a2b-7c4d"), by_name_hint("1-@last")
    (None, None)
    """
    name = reference.strip()
    if "@" in name or not re.search(r"[^\W\d_]", name) or _LIKE_A_UID.fullmatch(name):
        return None
    return f"Find it by its name: fornada ls --name {quote(name)}."


class JobNotFound(StoreError):
    """No job matches this reference."""

    code = "JOB_NOT_FOUND"

    def __init__(self, reference: str | int) -> None:
        super().__init__(
            f"no job {reference}. Name a job by its id (12), by the first four or more "
            "characters of its uid, or by @last. Name several jobs by a range (12-20)."
            + (f" {hint}" if (hint := by_name_hint(str(reference))) else "")
        )
        self.reference = reference


class AmbiguousReference(StoreError):
    """The uids of several jobs begin with this text."""

    code = "AMBIGUOUS_REFERENCE"

    def __init__(self, reference: str, candidates: Sequence[str]) -> None:
        super().__init__(
            f"several uids begin with {reference}: {', '.join(candidates)}, … "
            "Give more characters, or the id."
        )
        self.reference = reference
        self.candidates = tuple(candidates)


class WrongState(StoreError):
    """The job cannot move from its state to the wanted one."""

    code = "WRONG_STATE"

    def __init__(
        self, job_id: int, state: JobState, wanted: JobState, because: str | None = None
    ) -> None:
        has = f"has ended as {state}" if state.final else f"is {state}"
        because = because or f"it can no longer become {wanted}"
        super().__init__(f"job {job_id} {has}: {because}")
        self.job_id = job_id
        self.state = state
        self.wanted = wanted


class Fenced(StoreError):
    """The attempt no longer holds its job.

    The caller must end the trainer and write nothing more for this attempt.
    """

    code = "FENCED"

    def __init__(self, job_id: int, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of job {job_id} no longer holds the job")
        self.job_id = job_id
        self.attempt = attempt


class BadReference(StoreError):
    """The reference can never name a job, or names several jobs where one is expected."""

    code = "BAD_REFERENCE"


class BadCursor(StoreError):
    """The cursor does not come from a page with this sort order."""

    code = "BAD_CURSOR"

    def __init__(self, cursor: str, sort: str) -> None:
        super().__init__(
            f"{cursor!r} is not a cursor of a page sorted by {sort}. "
            "Read the first page again, without a cursor."
        )
